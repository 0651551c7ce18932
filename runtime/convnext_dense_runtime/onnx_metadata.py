"""Read the metadata of an ONNX file without the package of that name.

An ONNX file is one message of Google's protocol buffers: fields, each with a number, and most with
a length. All but two of them are skipped, so that a file of gigabytes is not read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from convnext_dense_runtime.metadata import KEY

# Numbers of fields in onnx.proto: ModelProto.graph and .metadata_props, and key and value of a
# property, which is a StringStringEntryProto.
_GRAPH, _PROPERTIES = 7, 14
_KEY, _VALUE = 1, 2
# Wire types, see https://protobuf.dev/programming-guides/encoding.
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
# Bytes of metadata, and of a number.
MOST_BYTES, _LONGEST = 16 * 2**20, 10


def read_onnx_metadata(path: Path) -> str | None:
    """Return the JSON that an exported ONNX file holds, or None if it has none.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is damaged or no ONNX file.
    """
    found, has_graph = None, False
    try:
        with path.open("rb") as file:
            for field, length in _fields(file, path.stat().st_size):
                has_graph |= field == _GRAPH
                if field == _PROPERTIES and length <= MOST_BYTES:
                    key, value = _entry(file, length)
                    found = value if key == KEY else found
    except (EOFError, UnicodeDecodeError):
        raise ValueError(f"{path} is damaged, cut off, or no ONNX file: get it again") from None
    if not has_graph:
        raise ValueError(f"{path} is damaged, cut off, or no ONNX file: get it again")
    return found


def _fields(file: BinaryIO, end: int) -> Iterator[tuple[int, int]]:
    """Yield the number and length of each field up to a position, and skip what is not read."""
    while file.tell() < end:
        tag = _varint(file)
        field, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            _varint(file)
            continue
        if kind not in (_FIXED64, _FIXED32, _LENGTH) or not field:
            raise EOFError
        length = {_FIXED64: 8, _FIXED32: 4}[kind] if kind != _LENGTH else _varint(file)
        behind = file.tell() + length
        if behind > end:
            raise EOFError
        yield field, length
        file.seek(behind, os.SEEK_SET)


def _entry(file: BinaryIO, length: int) -> tuple[str, str]:
    parts = {_KEY: "", _VALUE: ""}
    for field, size in _fields(file, file.tell() + length):
        if field in parts:
            parts[field] = file.read(size).decode()
    return parts[_KEY], parts[_VALUE]


def _varint(file: BinaryIO) -> int:
    value = 0
    for position in range(_LONGEST):
        byte = file.read(1)
        if not byte:
            raise EOFError
        value |= (byte[0] & 127) << (7 * position)
        if byte[0] < 128:
            return value
    raise EOFError
