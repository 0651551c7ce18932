"""Read a COCO file, without checks of its records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from convnext_dense.text import printable

# Bytes from which reading and checking takes more than a few seconds.
_LARGE = 50_000_000


@contextmanager
def announce_large_file(file: str) -> Iterator[None]:
    """Show on stderr that a file is being read and checked, if it is large."""
    size = Path(file).stat().st_size
    if size < _LARGE:
        yield
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    message = Text(printable(f"reading and checking {file}, {size / 1e6:,.0f} MB"))
    if not console.is_terminal:
        console.print(message, soft_wrap=True)
    with console.status(message):
        yield


def read_lists(file: str, key: str) -> dict:
    """Read a COCO file, and check that it has the lists of COCO's format.

    Args:
        file: The file.
        key: The dotted key or the argument that names the file, for messages.

    Returns:
        Its content with the lists ``images``, ``categories`` and ``annotations``; the last is
        empty if the file lacks it.

    Raises:
        ValueError: If it is not JSON or lacks a list.
    """
    try:
        content = read_json(file)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"annotation file {file} ({key}) is not JSON: {error}") from error
    if isinstance(content, dict):
        content.setdefault("annotations", [])
    lists = ("images", "annotations", "categories")
    if not (isinstance(content, dict) and all(isinstance(content.get(k), list) for k in lists)):
        raise ValueError(
            f"annotation file {file} ({key}) is not in COCO's format: it wants the lists images, "
            "annotations and categories"
        )
    return content


def read_json(file: str) -> object:
    """Read a JSON file if pycocotools can read it too.

    Raises:
        ValueError: If it is not JSON in UTF-8, or begins with a byte order mark.
    """
    text = Path(file).read_text(encoding="utf-8")
    if text.startswith("\ufeff"):
        raise ValueError("it begins with a byte order mark; save it as UTF-8 without one")
    return json.loads(text)
