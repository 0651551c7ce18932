"""Read which colour stands for which class, from the files that other tools write."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from convnext_dense.data.formats.source import Rgb

# Files that tell the colours, as tools name them.
FILES = (
    "labelmap.txt",  # CVAT, Segmentation mask 1.1
    "class_dict.csv",  # CamVid as it is passed around, and others after it
    "label_colors.txt",  # CamVid
    "meta.json",  # Supervisely
    "obj_class_to_machine_color.json",  # Supervisely's export of masks
    "colours.csv",
    "colors.csv",
    "colours.txt",
    "colors.txt",
)
_LARGEST = 1_000_000  # bytes: it is a list of names
_HEX = re.compile(r"#?([0-9a-fA-F]{6})")
_WANTED = (
    "a table has a line for each class: its name and red, green and blue, as in road,128,64,128"
)


def find_colour_table(folder: Path) -> Path | None:
    """Return the file in a folder that tells the colours, or in a folder below it."""
    for place in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        for name in FILES:
            file = place / name
            if file.is_file() and (name != "meta.json" or _is_supervisely(file)):
                return file
    return None


def read_colour_table(file: Path) -> dict[int | Rgb, str]:
    """Return the name of the class of each colour.

    Known are CVAT's ``labelmap.txt``, CSV files with or without titles, ``label_colors.txt`` with
    the colour first, Supervisely's JSON files, and a JSON object of names and colours.

    Raises:
        ValueError: If it is none of these, or gives two classes one colour.
        OSError: If it cannot be read.
    """
    if file.stat().st_size > _LARGEST:
        raise ValueError(f"`colours`: {file} is too large for a table of colours")
    text = file.read_text(encoding="utf-8-sig", errors="replace")
    try:
        pairs = _in_json(json.loads(text)) if file.suffix == ".json" else _in_lines(text, file)
        table: dict[int | Rgb, str] = {}
        for name, colour in pairs:
            if table.setdefault(colour, name) != name:
                raise ValueError(f"{table[colour]!r} and {name!r} have one colour, {colour}")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"`colours`: {file}: {error}") from error
    if not table:
        raise ValueError(f"`colours`: {file} names no colour: {_WANTED}")
    return table


def _in_lines(text: str, file: Path) -> Iterator[tuple[str, Rgb]]:
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        cells = _cells(line)
        found = _named(cells)
        if found:
            yield found
        elif number > 1 or any(cell.isdecimal() for cell in cells):  # the first may be titles
            raise ValueError(f"line {number} is {line!r}: {_WANTED}")


def _cells(line: str) -> list[str]:
    """Return the cells of a line of CSV, of CVAT's ``name:r,g,b:parts``, or with blanks."""
    if re.search(r":\d+,\d+,\d+(:|$)", line):
        name, _, rest = line.partition(":")
        return [name, *rest.split(":")[0].split(",")]
    if "," in line or ";" in line:
        delimiter = "," if "," in line else ";"
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]
    if (colour := re.match(r"(\d+)\s+(\d+)\s+(\d+)\s+(.+)", line)) is not None:
        return [colour[4], *colour.groups()[:3]]
    return line.rsplit(None, 1 if _HEX.fullmatch(line.split()[-1]) else 3)


def _named(cells: Sequence[str]) -> tuple[str, Rgb] | None:
    """Return the name and the colour in the cells, which may have further cells."""
    if len(cells) > 1 and (colour := _HEX.fullmatch(cells[1])) and not cells[1].isdecimal():
        return cells[0], _of_hex(colour[1])
    if len(cells) < 4:
        return None
    for start in (1, 0, 2):  # name first, colour first, or a number before the name
        numbers = cells[start : start + 3]
        name = cells[start - 1] if start else cells[3]
        if len(numbers) == 3 and all(n.isdecimal() and int(n) < 256 for n in numbers) and name:
            return name, (int(numbers[0]), int(numbers[1]), int(numbers[2]))
    return None


def _in_json(content: object) -> Iterator[tuple[str, Rgb]]:
    if isinstance(content, dict) and isinstance(content.get("classes"), list):
        content = content["classes"]
    if isinstance(content, list):
        entries: Iterable = (
            (one.get("title", one.get("name")), one.get("color", one.get("colour")))
            for one in content
            if isinstance(one, dict)
        )
    elif isinstance(content, dict):
        entries = content.items()
    else:
        raise ValueError(f"it is not a list of classes: {_WANTED}")
    for name, colour in entries:
        if isinstance(colour, str) and (code := _HEX.fullmatch(colour)):
            yield str(name), _of_hex(code[1])
        elif (
            isinstance(colour, list)
            and len(colour) == 3
            and all(isinstance(part, int) and 0 <= part < 256 for part in colour)
        ):
            yield str(name), (colour[0], colour[1], colour[2])
        else:
            raise ValueError(f"the colour of {name!r} is {colour!r}: {_WANTED}")


def _of_hex(code: str) -> Rgb:
    return int(code[:2], 16), int(code[2:4], 16), int(code[4:], 16)


def _is_supervisely(file: Path) -> bool:
    try:
        content = (
            json.loads(file.read_text(encoding="utf-8")) if file.stat().st_size < _LARGEST else 0
        )
    except (ValueError, RecursionError, OSError):
        return False
    return isinstance(content, dict) and isinstance(content.get("classes"), list)
