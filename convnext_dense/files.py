"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(
    path: str | os.PathLike, way_on: str = "what was written before is whole"
) -> Iterator[Path]:
    """Give a path to write to, which takes a file's place in one step where the block succeeds.

    Where it fails, an earlier file of the name stays as it was, and nothing else is left.

    Args:
        path: The file. Its folder is made where it is missing.
        way_on: Ends the message of a write that fails.

    Yields:
        A path in the same folder, with the same suffix.

    Raises:
        OSError: Where the file cannot be written; the message names it and the reason.

    Example::

        with replacing("metrics.json") as part:
            part.write_text("{}")
    """
    path = Path(path)
    # In the same folder, since only within one file system is a rename a single step.
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise type(error)(f"could not write {path}: {error.strerror or error}; {way_on}") from error


def write_whole(path: str | os.PathLike, content: str | bytes) -> None:
    """Write a file in one step, with its folder if that is missing.

    Where that fails, an earlier file of the name stays as it was.

    Args:
        path: The file.
        content: All of it; text is written as UTF-8.

    Raises:
        OSError: Where it cannot be written; the message names the file and the reason.
    """
    with replacing(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
