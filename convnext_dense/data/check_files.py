"""Find missing files, with one listing per folder, tell files by their content, and name data."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

# Variable of the environment: the folder that replaces the leading `data/` of every data root.
DATA_VARIABLE = "CONVNEXT_DENSE_DATA"
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
_CHUNK = 1 << 20  # bytes that are read at once


def missing_files(paths: Iterable[str]) -> list[str]:
    """Return the paths that are not files, in their order.

    Folders, broken links, pipes and devices are not files: reading them can take forever. All of
    COCO (118,287 images in one folder) takes a second.
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
    except OSError:  # a link to itself
        return False


def digest_of(path: str) -> str:
    """Return a digest of a file's content; equal for equal files."""
    digest = hashlib.blake2b(digest_size=16)
    with Path(path).open("rb") as file:
        while part := file.read(_CHUNK):
            digest.update(part)
    return digest.hexdigest()
