"""CSV files whose cells no spreadsheet takes for formulas."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from convnext_dense.text import printable

# Spreadsheets skip blanks and quotes before a formula, and take the wide forms of the signs too.
_FORMULA = re.compile(r"""[\s'"\u200c\u200d]*[=+\-@\uff1d\uff0b\uff0d\uff20]""")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)", re.IGNORECASE)


def as_csv(rows: Sequence[Mapping[str, object]]) -> str:
    """Return rows as CSV, which :func:`read_csv` reads back.

    A text that a spreadsheet would run, such as ``=1+1``, gets an apostrophe in front; control
    characters are escaped. Numbers stay as they are, and NaN is an empty cell.

    Args:
        rows: One or more, with the columns of the first.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_cell, rows[0]))
    writer.writerows([_cell(row[column]) for column in rows[0]] for row in rows)
    return text.getvalue()


def read_csv(file: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file, without the apostrophes that :func:`as_csv` adds.

    Raises:
        ValueError: Where it is not UTF-8, or a row has another number of cells than the first.
        OSError: Where it could not be read.
    """
    with file.open(newline="", encoding="utf-8") as text:
        rows = [[_content(cell) for cell in row] for row in csv.reader(text) if row]
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise ValueError(f"{file}: row {number} has {len(row)} cells, the first {len(rows[0])}")
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def _cell(value: object) -> object:
    if isinstance(value, float) and math.isnan(value):
        return ""
    if not isinstance(value, str):
        return value
    value = printable(value)
    return f"'{value}" if _is_formula(value) else value


def _content(cell: str) -> str:
    # What follows an apostrophe of ours is itself a formula.
    return cell[1:] if cell.startswith("'") and _is_formula(cell[1:]) else cell


def _is_formula(text: str) -> bool:
    return bool(_FORMULA.match(text)) and not _NUMBER.fullmatch(text)
