"""Content that is written whole or not at all."""

from __future__ import annotations

import os

from convnext_dense.files import replacing


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
