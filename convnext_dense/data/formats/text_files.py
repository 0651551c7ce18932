"""Read text and JSON files that people and other tools wrote, in whatever encoding."""

from __future__ import annotations

import codecs
import json
import re
from pathlib import Path
from typing import Any

# Bytes; no label file of one picture comes near, and a list of a million pictures fits.
_LARGEST = 200_000_000
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# Label Studio writes categories alone beside YOLO's labels.
_COCO = re.compile(rb'"(?:images|annotations)"\s*:\s*\[')
_LABELME = re.compile(rb'"shapes"\s*:\s*\[')
_LOOK = 50_000  # bytes


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
    return _decoded(content)


def kind_of(path: Path) -> str:
    """Return ``labelme``, ``coco`` or "", without reading all of a file."""
    try:
        with path.open("rb") as file:
            look = file.read(_LOOK)
            size = path.stat().st_size
            file.seek(max(size - _LOOK, 0))
            look += file.read(_LOOK) if size > _LOOK else b""
    except OSError:
        return ""
    if not look.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
        return ""
    if _LABELME.search(look):
        return "labelme"
    return "coco" if _COCO.search(look) else ""


def read_json(path: Path) -> Any:  # noqa: ANN401 (anything can be in a file)
    """Return what is in a JSON file in UTF-8 or Latin-1, with a byte order mark or without.

    Raises:
        ValueError: If it is not JSON.
        OSError: If it cannot be read.
    """
    content = path.read_bytes()
    try:
        return json.loads(_decoded(content))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")
