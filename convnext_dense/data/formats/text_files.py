"""Read small text files that people and other tools wrote, in whatever encoding."""

from __future__ import annotations

import codecs
from pathlib import Path

# Bytes; no label file of one picture comes near, and a list of a million pictures fits.
_LARGEST = 200_000_000
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text(path: Path) -> str:
    """Return the text of a file in UTF-8, UTF-16 or, where it is neither, Latin-1.

    Byte order marks are left out.

    Raises:
        ValueError: If it is no text, or too large for a file of labels.
        OSError: If it cannot be read.
    """
    if path.stat().st_size > _LARGEST:
        raise ValueError(f"{path} is too large for a text file of labels")
    content = path.read_bytes()
    if content.startswith(_UTF16):
        return content.decode("utf-16", errors="replace")
    if b"\0" in content:
        raise ValueError(f"{path} is not a text file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")
