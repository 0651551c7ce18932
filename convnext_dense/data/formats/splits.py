"""Recognise training, validation and test by the names of folders and files."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SPLITS = {
    "train": "train",
    "training": "train",
    "trainval": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_WORDS = re.compile(r"[a-z]+")


def split_of(parts: Iterable[str]) -> str | None:
    """Return the split that one of these names states as a whole, or None.

    Example:
        >>> split_of(("images", "Valid"))
        'val'
    """
    found = {_SPLITS.get(part.lower()) for part in parts} - {None}
    return found.pop() if len(found) == 1 else None


def split_of_file(name: str) -> str | None:
    """Return the split that one of the folders in a file's relative path states, or None."""
    return split_of(name.split("/")[:-1])


def split_in(stem: str) -> str | None:
    """Return the split that a word of a file's name states, as in ``instances_train2017``."""
    return split_of(_WORDS.findall(stem.lower()))
