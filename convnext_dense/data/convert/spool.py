"""Keep the objects of all pictures in a file, so that memory holds only the pictures' names."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from convnext_dense.data.convert.objects import join
from convnext_dense.data.convert.pictures import Entry


class Spool:
    """Holds the annotations of pictures until they are written.

    Args:
        file: A file for them, opened for writing and reading.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def add(self, annotations: list[dict]) -> tuple[int, int]:
        """Keep annotations, and return their place."""
        text = json.dumps(annotations, separators=(",", ":")).encode()
        start = self._file.seek(0, os.SEEK_END)
        self._file.write(text)
        return start, len(text)

    def read(self, entry: Entry) -> tuple[list[dict], int]:
        """Return the annotations of a picture, and how many others were the same objects."""
        lists = []
        for start, length in entry.places:
            self._file.seek(start)
            lists.append(json.loads(self._file.read(length)))
        twice = sum(join(lists[0], others) for others in lists[1:])
        return lists[0] if lists else [], twice


def write_coco(
    path: Path, names: Iterable[str], entries: Iterable[Entry], annotations: Iterator[list[dict]]
) -> None:
    """Write a COCO file, one record at a time.

    Args:
        path: The file.
        names: The classes; their ids are counted from 1.
        entries: The pictures.
        annotations: Those of each picture, without ids; read once, in the order of ``entries``.
    """
    entries = list(entries)
    categories = [dict(id=number, name=name) for number, name in enumerate(names, 1)]
    with path.open("w", encoding="utf-8") as file:
        file.write(f'{{"categories":{_json(categories)},\n"images":[')
        for number, entry in enumerate(entries, 1):
            width, height = entry.size
            image = dict(id=number, file_name=entry.name, width=width, height=height)
            file.write(f"{',' * (number > 1)}\n{_json(image)}")
        file.write('],\n"annotations":[')
        number = 0
        for image_id, own in enumerate(annotations, 1):
            for annotation in own:
                number += 1
                record = dict(id=number, image_id=image_id, **annotation)
                file.write(f"{',' * (number > 1)}\n{_json(record)}")
        file.write("]}\n")


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
