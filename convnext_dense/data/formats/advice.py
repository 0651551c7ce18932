"""Say how to train on a folder that is in the format of another tool."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from convnext_dense.data.formats.detect import FORMATS, find_formats
from convnext_dense.data.formats.listing import Listing

# VOC has both.
_OF_MAPS = {"label-maps", "colours"}
_OF_INSTANCES = {"yolo", "labelme", "cvat", "coco"}


def is_readable(root: str | os.PathLike[str]) -> bool:
    """Whether a folder is in a format that training reads as it is, or in none that is known."""
    found = _find(root)
    return not found or bool(found.keys() & {"coco", "label-maps"})


def conversion_advice(root: str | os.PathLike[str], wanted: str) -> str | None:
    """Return the command that makes a folder ready for training.

    Args:
        root: The folder.
        wanted: The format that training reads as it is: ``coco`` or ``label-maps``.

    Returns:
        None if the folder is in this format, or in none.
    """
    found = _find(root)
    if not found or wanted in found:
        return None
    titles = " and ".join(FORMATS[name].title for name in found)
    place = Path(root)
    words = ["convnext-dense", "data", "convert", str(place), f"{place}_converted"]
    other_form = found.keys() <= (_OF_INSTANCES if wanted == "label-maps" else _OF_MAPS)
    form = {"coco": "instances"}.get(wanted, wanted)
    to = f" `to={form!r}`" if other_form else ""
    return f"{root} is in the format of {titles}: make it ready by {shlex.join(words)}{to}"


def _find(root: str | os.PathLike[str]) -> dict[str, str]:
    try:
        return find_formats(Listing(root))
    except (OSError, ValueError):
        return {}
