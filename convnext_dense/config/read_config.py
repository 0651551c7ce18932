"""Read a config file, with errors that name the file and the line."""

from __future__ import annotations

import ast
import traceback
from difflib import get_close_matches
from pathlib import Path

from mmengine.config import Config
from mmengine.fileio import load

from convnext_dense.config.data.classes import set_classes
from convnext_dense.config_tree import NUM_CLASSES
from convnext_dense.heads.transformers.configs import DETECTOR, SEGMENTER
from convnext_dense.heads.transformers.published import read_published
from convnext_dense.upstream.file_handlers import plain_files
from convnext_dense.upstream.package_paths import get_installed_path
from convnext_dense.zoo.recipes import find_recipe, nearest_recipes, recipes

_SUFFIXES = (".py", ".json", ".yaml", ".yml")
# What stands before the name of a model of transformers, and the recipes of their heads.
HF = "hf::"
_RECIPES = {
    ("mask2former", DETECTOR): "det/hf_mask2former_convnext_t_coco",
    ("mask2former", SEGMENTER): "seg/hf_mask2former_convnext_t_ade20k",
    ("upernet", SEGMENTER): "seg/hf_upernet_convnext_t_ade20k",
    ("d_fine", DETECTOR): "det/dfine_convnext_t_coco",
}
_USUAL_RECIPE = "det/rtdetrv2_convnext_t_coco"


def read_config(name: str | Path, import_custom_modules: bool = True) -> Config:
    """Read a config file, a recipe by its name, or a config of a package such as ``mmdet::x/y.py``.

    ``hf::NAME`` is a recipe for a model of transformers, which a folder holds or the hub.

    Args:
        name: The path or name. A file that exists comes before a recipe of that name.
        import_custom_modules: Whether to import the modules in the config's ``custom_imports``.

    Raises:
        FileNotFoundError: If the config, or one that it inherits from, does not exist.
        ImportError: If the config needs a package that is not installed.
        ValueError: If it is not a config; the message names the file and the line. Or if several
            recipes have the name.
        RuntimeError: If its code fails; the message names the file and the line.
    """
    name = str(name)
    if name.startswith(HF):
        return _published_config(name.removeprefix(HF))
    path = _locate(name)
    with plain_files():
        _check_file(path, ())
        try:
            return Config.fromfile(path, import_custom_modules=import_custom_modules)
        except ModuleNotFoundError as error:
            raise _needs(name, error.name or name.partition("::")[0]) from error
        except ImportError as error:
            # mmengine's message lists sys.path; its cause names the missing module.
            raise ImportError(
                f"config {name}, custom_imports: {error.__cause__ or error}"
            ) from error
        except (Exception, SystemExit) as error:  # code of configs can raise anything
            raise RuntimeError(f"{_place(error, name)}: {_said(error)}") from error


def _published_config(name: str) -> Config:
    published = read_published(name)
    recipe = _RECIPES.get((published.head["type"], published.owner), _USUAL_RECIPE)
    cfg = read_config(recipe)
    cfg.model.backbone = published.backbone
    cfg.model.head = dict(published.head, num_classes=published.number)
    if published.classes and published.number != NUM_CLASSES[published.owner]:
        set_classes(cfg, published.classes)  # others are those of the benchmark
    if published.normalisation:
        mean, std = published.normalisation
        cfg.model.data_preprocessor.update(mean=list(mean), std=list(std))
    cfg.model.init_cfg = dict(type="TransformersWeights", checkpoint=published.source)
    return cfg


def recipe_meant(name: str) -> str | None:
    """Return the whole name of the recipe that a config's name stands for; None if it is another.

    A file that exists comes before a recipe.

    Raises:
        ValueError: If several recipes have the name.
    """
    return None if Path(name).is_file() else find_recipe(name)


def _locate(name: str) -> Path:
    if (recipe := recipe_meant(name)) is not None:
        return recipes()[recipe]
    if "::" in name:
        return _installed_config(name)
    path = Path(name)
    if not path.exists():
        raise FileNotFoundError(
            f"there is no config {name!r}, neither a file nor a recipe; {nearest_recipes(name)}"
        )
    return path


def _check_file(path: Path, heirs: tuple[Path, ...]) -> None:
    """Check that a file, and each that it inherits from, can be read as a config.

    Args:
        path: The file.
        heirs: The files that inherit from it, the first of them the user's.
    """
    path = Path(path.absolute()) if heirs else path
    if heirs and not path.exists():
        raise FileNotFoundError(f"{heirs[-1]}: there is no {path}, which its _base_ names")
    if path.is_dir():
        raise IsADirectoryError(f"config {path} is a folder: name a file in it")
    if path.suffix not in _SUFFIXES:
        raise ValueError(f"config {path} ends in none of {', '.join(_SUFFIXES)}")
    if path.resolve() in [heir.resolve() for heir in heirs]:
        chain = " -> ".join(str(file) for file in (*heirs, path))
        raise ValueError(f"a config inherits from itself by _base_: {chain}")
    for base in _bases(path):
        if "::" in base:
            _installed_config(base)
        else:
            _check_file(path.parent / base, (*heirs, path))


def _bases(path: Path) -> list[str]:
    """Return the ``_base_`` of a config; an empty list if it must be run to be known."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"config {path} is not a text file in UTF-8: {error}") from error
    if not text.strip():
        raise ValueError(f"config {path} is empty")
    if path.suffix == ".py":
        try:
            tree = ast.parse(text)
        except SyntaxError as error:
            line = f", line {error.lineno}" if error.lineno else ""
            raise ValueError(f"{path}{line}: {error.msg}") from error
        except ValueError as error:  # null bytes, in some versions of Python
            raise ValueError(f"{path}: {error}") from error
        bases = [
            node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            and [getattr(target, "id", None) for target in node.targets] == ["_base_"]
        ]
        try:
            named = ast.literal_eval(bases[0]) if bases else []
        except ValueError:  # an expression
            named = []
    else:
        try:
            content = load(path)
        except Exception as error:  # of the JSON or YAML reader
            raise ValueError(f"config {path} could not be read: {_said(error)}") from error
        if not isinstance(content, dict):
            raise ValueError(f"config {path} is not a dict but a {type(content).__name__}")
        named = content.get("_base_") or []
    named = [named] if isinstance(named, str) else named
    named = list(named) if isinstance(named, tuple) else named
    if not isinstance(named, list) or not all(isinstance(base, str) for base in named):
        raise ValueError(f"config {path}: _base_ is {named!r}, neither a path nor a list of them")
    return named


def _place(error: BaseException, name: str) -> str:
    """Return the file and line of a config that raised an error, or only the config."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).suffix == ".py" and frame.name == "<module>"
    ]
    return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else f"config {name}"


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split())
    kind = type(error).__name__
    return f"{kind}: {text}" if text else kind


def _needs(name: str, package: str) -> ImportError:
    return ImportError(
        f"config {name} needs {package}, which is not installed: "
        "pip install 'convnext-dense[lite]', or the package itself"
    )


def _installed_config(name: str) -> Path:
    package, _, relative = name.partition("::")
    try:
        configs = Path(get_installed_path(package)) / ".mim" / "configs"
    except (ModuleNotFoundError, ValueError) as error:
        raise _needs(name, package or "the name of a package") from error
    path = configs / relative
    if not path.is_file():
        known = [str(p.relative_to(configs)) for p in configs.rglob("*.py")]
        close = [f"{package}::{match}" for match in get_close_matches(relative, known, n=3)]
        raise FileNotFoundError(
            f"{package} has no config {relative!r}"
            + (f"; near it are {', '.join(close)}" if close else f", of those in {configs}")
        )
    return path
