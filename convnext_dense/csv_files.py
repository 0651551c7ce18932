"""Write and read CSV files in which no cell is a formula to a spreadsheet."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from convnext_dense.text import printable

# Spreadsheets skip blanks and quotes before a formula, and accept wide forms of the signs.
_FORMULA = re.compile(r"""[\s'"\u200c\u200d]*[=+\-@\uff1d\uff0b\uff0d\uff20]""")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)", re.IGNORECASE)


def as_csv(rows: Sequence[Mapping[str, object]]) -> str:
    """Return rows as CSV text, which :func:`read_csv` can read.

    A text that a spreadsheet would run as a formula, such as ``=1+1``, gets an apostrophe in front.
    Control characters are escaped, and NaN becomes an empty cell.

    Args:
        rows: At least one row. All rows have the columns of the first.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_cell, rows[0]))
    writer.writerows([_cell(row[column]) for column in rows[0]] for row in rows)
    return text.getvalue()


def read_csv(file: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file, without the apostrophes that :func:`as_csv` adds.

    Raises:
        ValueError: If it is not UTF-8, or a row has another number of cells than the first.
        OSError: If it could not be read.
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
    # An apostrophe is ours only if a formula follows it.
    return cell[1:] if cell.startswith("'") and _is_formula(cell[1:]) else cell


def _is_formula(text: str) -> bool:
    return bool(_FORMULA.match(text)) and not _NUMBER.fullmatch(text)
