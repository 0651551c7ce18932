"""Tell JSON files of data sets apart by their beginning and end, and read them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

# Label Studio writes categories alone beside YOLO's labels.
_COCO = re.compile(rb'"(?:images|annotations)"\s*:\s*\[')
_LABELME = re.compile(rb'"shapes"\s*:\s*\[')
_LOOK = 50_000  # bytes


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
    """Return what is in a JSON file in UTF-8, with a byte order mark or without.

    Raises:
        ValueError: If it is not JSON.
        OSError: If it cannot be read.
    """
    content = path.read_bytes()
    try:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("latin-1")
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
