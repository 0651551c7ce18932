"""Where data lies, and which of many files are missing, at the cost of one listing per folder."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

# Of the environment: the folder that stands for the leading `data/` of every data root.
DATA_VARIABLE = "CONVNEXT_DENSE_DATA"
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")


def missing_files(paths: Iterable[str]) -> list[str]:
    """Return the paths that no file has, in their order.

    Folders, links that lead nowhere, pipes and devices are no files: reading them can take forever.

    Args:
        paths: Files, of which a whole COCO (118 287 images in one folder) takes a second.
    """
    listed: dict[str, set[str]] = {}
    missing = []
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in listed:
            here = os.scandir(folder or ".") if Path(folder).is_dir() else ()
            listed[folder] = {entry.name for entry in here if _is_file(entry)}
        if name not in listed[folder]:
            missing.append(path)
    return missing


def _is_file(entry: os.DirEntry) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link that leads to itself
        return False


def argument_of(split: str) -> str:
    """Return the argument that names a split's annotations, as messages have it."""
    return "`ann_train`" if split == "train" else "`ann_val`"
