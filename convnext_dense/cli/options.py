"""The flags that tools share, and the config that they make."""

from __future__ import annotations

import argparse
import os
from difflib import get_close_matches
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.utils import get_installed_path, import_modules_from_strings

from convnext_dense.cli.backbone import add_backbone_options, backbone_arguments
from convnext_dense.cli.errors import add_debug_option
from convnext_dense.cli.output import say
from convnext_dense.data.paths import follow_environment
from convnext_dense.data.retarget import retarget
from convnext_dense.swap import plan_swap
from convnext_dense.swap.edits import Edits
from convnext_dense.swap.preprocessing import follow_weights

LAUNCHERS = ("none", "pytorch", "slurm", "mpi")
# What load_config takes for the flags that a tool has not.
NOT_GIVEN = dict(
    data_root=None,
    classes=None,
    img_size=None,
    ann_train=None,
    ann_val=None,
    batch_size=None,
    box_only=False,
    backbone=None,
    recipe="keep",
    launcher="none",
    work_dir=None,
)


def add_shared_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags for data, backbone, work directory, config and launcher."""
    add_data_options(parser, batches=True)
    add_backbone_options(parser)
    parser.add_argument("--work-dir", metavar="D", help="default: work_dirs/<name of the config>")
    parser.add_argument("--launcher", choices=LAUNCHERS, default="none")
    # torchrun sets LOCAL_RANK; older launchers pass the flag.
    parser.add_argument("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)
    add_config_options(parser)


def add_data_options(parser: argparse.ArgumentParser, *, batches: bool) -> None:
    """Add the flags that point a config at other data.

    Args:
        parser: Where to.
        batches: Whether ``--batch-size`` is among them.
    """
    data = parser.add_argument_group("your data")
    data.add_argument("--data-root", metavar="D", help="folder of the data set, in every loader")
    data.add_argument("--classes", metavar="A,B,C", help="class names, in every data set and head")
    data.add_argument("--img-size", metavar="S", type=int, help="short side, or crop, in pixels")
    data.add_argument(
        "--ann-train", metavar="F", help="training annotations: absolute, or below the data root"
    )
    data.add_argument(
        "--ann-val", metavar="F", help="validation annotations: absolute, or below the data root"
    )
    if batches:
        data.add_argument("--batch-size", metavar="N", type=int, help="images per process")
    data.add_argument("--box-only", action="store_true", help="train and test without masks")


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of every tool that takes a config."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        default={},
        metavar="KEY=VALUE",
        help="override any key, such as model.backbone.arch=atto",
    )
    parser.set_defaults(**NOT_GIVEN)
    add_debug_option(parser)


def load_config(args: argparse.Namespace) -> Config:
    """Read the config that the arguments name, and apply CONVNEXT_DENSE_DATA and the flags.

    ``--cfg-options`` come last, so that they can override what a flag has set.

    Raises:
        FileNotFoundError: Where there is no such config.
        ImportError: Where the config inherits from a package that is not installed.
    """
    # What only the old backbone needs is not imported: mmpretrain for its ConvNeXt.
    cfg = read_config(args.config, import_custom_modules=not args.backbone)
    if args.backbone:
        cfg = _swap(cfg, args)
    elif getattr(args, "weights", None):
        cfg = _follow_weights(cfg, args.weights)
    if args.data_root is None:
        cfg = follow_environment(cfg)
    cfg = retarget(
        cfg,
        data_root=args.data_root,
        classes=args.classes,
        img_size=args.img_size,
        ann_train=args.ann_train,
        ann_val=args.ann_val,
        batch_size=args.batch_size,
        box_only=args.box_only,
    )
    cfg.merge_from_dict(args.cfg_options)
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or cfg.get("work_dir") or f"work_dirs/{Path(args.config).stem}"
    return cfg


def _swap(cfg: Config, args: argparse.Namespace) -> Config:
    """Apply ``--backbone``. In a test the checkpoint brings the weights."""
    weights = getattr(args, "weights", None)
    arguments = backbone_arguments(cfg, args.backbone, weights)
    swap = plan_swap(cfg, args.backbone, recipe=args.recipe, **arguments)
    note(
        f"--backbone {args.backbone}: {swap.tier}; tools/swap_backbone.py --diff says what changed"
    )
    for message in swap.warnings:
        note(message)
    import_modules_from_strings(**swap.config.custom_imports)
    return swap.config


def _follow_weights(cfg: Config, weights: str) -> Config:
    """Let the normalisation follow ``--weights`` where the backbone stays."""
    edits = Edits(cfg)
    if weights != "none":
        follow_weights(edits, weights)
    for change in edits.changes:
        note(f"--weights {weights}: {change}")
    return Config(edits.cfg, filename=cfg.filename) if edits.changes else cfg


def read_config(name: str, import_custom_modules: bool = True) -> Config:
    """Read a config file, or one of mmdet's or mmseg's as ``mmdet::path/to/config.py``.

    Args:
        name: The path or name.
        import_custom_modules: Import what the config's ``custom_imports`` names.

    Raises:
        FileNotFoundError: Where there is no such config.
        ImportError: Where the config needs a package that is not installed.
    """
    if "::" not in name and not Path(name).is_file():
        found = sorted(str(path) for path in Path("configs").glob("[!_]*/*.py"))
        raise FileNotFoundError(
            f"there is no config {name!r}"
            + (f"; here are {', '.join(found)}" if found else "; run from the repository's root")
        )
    try:
        path = _installed_config(name) if "::" in name else name
        return Config.fromfile(path, import_custom_modules=import_custom_modules)
    except ModuleNotFoundError as error:
        package = error.name or name.partition("::")[0]
        raise ImportError(
            f"config {name} needs {package}, which is not installed: "
            "pip install 'convnext-dense[lite]', or the package itself"
        ) from error


def _installed_config(name: str) -> Path:
    package, _, relative = name.partition("::")
    configs = Path(get_installed_path(package)) / ".mim" / "configs"
    path = configs / relative
    if not path.is_file():
        known = [str(p.relative_to(configs)) for p in configs.rglob("*.py")]
        close = [f"{package}::{match}" for match in get_close_matches(relative, known, n=3)]
        raise FileNotFoundError(
            f"{package} has no config {relative!r}"
            + (f"; near it are {', '.join(close)}" if close else f", of those in {configs}")
        )
    return path


def rank() -> int:
    """Give this process's rank as its launcher tells it, before anything is set up."""
    return int(next((os.environ[key] for key in _RANK if key in os.environ), 0))


def world_size(launcher: str) -> int:
    """Give the number of processes as the launcher tells it, before anything is set up."""
    key = _WORLD_SIZE[launcher]
    return int(os.environ.get(key, 1)) if key else 1


def note(message: str) -> None:
    """Tell the user, once for all processes, what was not done as the config says."""
    if rank() == 0:
        say(f"note: {message}")


_RANK = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK")
_WORLD_SIZE = {
    "none": None,
    "pytorch": "WORLD_SIZE",
    "slurm": "SLURM_NTASKS",
    "mpi": "OMPI_COMM_WORLD_SIZE",
}
