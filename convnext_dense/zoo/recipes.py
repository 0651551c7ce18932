"""Where the recipes lie, and what they are called."""

from __future__ import annotations

from pathlib import Path

from convnext_dense.text import nearest_first

# Where mmengine and mim look for a package's configs: in a wheel the files, in a clone a link to
# them.
FOLDER = Path(__file__).parents[1] / ".mim" / "configs"
# Before a recipe's name, where several packages have configs.
PREFIX = "convnext_dense::"


def recipes() -> dict[str, Path]:
    """Return the file of each recipe by its name, such as ``det/cascade_convnext_t_coco``."""
    folder = FOLDER.resolve()
    files = sorted(folder.glob("[!_]*/*.py"))
    return {file.relative_to(folder).with_suffix("").as_posix(): file for file in files}


def find_recipe(name: str) -> str | None:
    """Return the whole name of the recipe that is meant, or None if there is none.

    Args:
        name: Its name, also without the folder, with ``.py``, or after ``configs/`` or
            ``convnext_dense::``.

    Raises:
        ValueError: If the name without a folder is that of several recipes.

    Example:
        >>> find_recipe("cascade_convnext_t_coco.py")
        'det/cascade_convnext_t_coco'
    """
    asked = _plain(name)
    known = recipes()
    if asked in known:
        return asked
    found = [one for one in known if one.partition("/")[2] == asked]
    if len(found) > 1:
        raise ValueError(f"recipe {name!r} is one of {', '.join(found)}: give it with its folder")
    return found[0] if found else None


def recipe_file(name: str) -> Path:
    """Return the file of a recipe.

    Args:
        name: As in :func:`find_recipe`.

    Raises:
        FileNotFoundError: If there is no such recipe; the message names the nearest ones.
        ValueError: As :func:`find_recipe`.
    """
    found = find_recipe(name)
    if found is None:
        raise FileNotFoundError(f"there is no recipe {name!r}; {nearest_recipes(name)}")
    return recipes()[found]


def nearest_recipes(name: str) -> str:
    """Return the part of a message that names the recipes that look most like a wrong name."""
    known = [one.partition("/")[2] for one in recipes()]
    near = nearest_first(_plain(name).rpartition("/")[2], known)[:3]
    return f"the nearest are {', '.join(near)}, and `recipes` lists all"


def _plain(name: str) -> str:
    return name.removeprefix(PREFIX).removeprefix("configs/").removesuffix(".py")
