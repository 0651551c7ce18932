"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: str | os.PathLike, content: str | bytes) -> None:
    """Write a file in one step, with its folder if that is missing.

    Where that fails, an earlier file of the name stays as it was.

    Args:
        path: The file.
        content: All of it; text is written as UTF-8.

    Raises:
        OSError: Where it cannot be written; the message names the file and the reason.
    """
    path = Path(path)
    data = content.encode() if isinstance(content, str) else content
    # In the same folder, since only within one file system is a rename a single step.
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        raise type(error)(
            f"could not write {path}: {error.strerror or error}; what was written before is whole"
        ) from error
    finally:
        part.unlink(missing_ok=True)
