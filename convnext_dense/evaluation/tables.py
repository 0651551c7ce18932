"""Lay figures out as tables of plain text."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.cells import cell_len

from convnext_dense.evaluation.coco import OFFICIAL
from convnext_dense.evaluation.coco_input import TYPES
from convnext_dense.evaluation.figures import Figures
from convnext_dense.text import printable

if TYPE_CHECKING:
    from convnext_dense.evaluation.beside import CheckpointTest
    from convnext_dense.evaluation.published import Comparison

TITLES = {"bbox": "box", "segm": "mask"}


def summary_table(figures: Figures, width: int | None = None) -> str:
    """Lay out the official figures: COCO's twelve per type with their meaning, or mmseg's."""
    summary = figures.summary
    types = [name for name in TYPES if f"{name}_AP" in summary]
    if not types:
        cells = ["", *(f"{value:.2f}" for value in summary.values())]
        return plain_table(["", *summary], [cells], width)
    return plain_table(
        ["", "IoU", "area", "detections", *(TITLES[name] for name in types)],
        [
            [name, iou, area, str(dets), *(f"{summary[f'{t}_{name}']:.3f}" for t in types)]
            for name, iou, area, dets in OFFICIAL
        ],
        width,
    )


def per_class_table(figures: Figures, width: int | None = None) -> str:
    """Lay out the figures of each class, with a dash if there is nothing to find."""
    rows = figures.per_class
    # pycocotools prints fractions with three digits, mmseg percent with two.
    digits = 3 if any("_AP" in title for title in rows[0]) else 2
    cells = [[_cell(value, digits) for value in row.values()] for row in rows]
    return plain_table([figure_title(column) for column in rows[0]], cells, width)


def comparison_table(comparison: Comparison, width: int | None = None) -> str:
    """Lay out the figures of a test and the published ones, and why they cannot be compared."""
    rows = [
        [f.metric, f"{f.here:.2f}", str(f.published), f"{f.difference:+.2f}"]
        for f in comparison.figures
    ]
    text = f"published: {comparison.name}\n"
    if rows:
        text += plain_table(["in percent", "here", "published", "difference"], rows, width)
    if comparison.unlike:
        text += f"not comparable: {'; '.join(comparison.unlike)}\n"
    return text


def beside_table(figures: Figures, beside: CheckpointTest, width: int | None = None) -> str:
    """Lay out the figures of an exported model beside those of its checkpoint."""
    titles = Path(beside.checkpoint).name, "exported"
    return difference_table(beside.metrics, figures.summary, titles, width)


def difference_table(
    before: Mapping[str, float],
    after: Mapping[str, float],
    titles: tuple[str, str],
    width: int | None = None,
) -> str:
    """Lay out the figures that two tests have in common, and their differences."""
    rows = [
        [
            figure_title(name),
            f"{before[name]:.3f}",
            f"{figure:.3f}",
            f"{figure - before[name]:+.3f}",
        ]
        for name, figure in after.items()
        if name in before
    ]
    return plain_table(["", *titles, "difference"], rows, width)


def figure_title(column: str) -> str:
    """Return the title of a figure: ``bbox_AP50`` is box AP50."""
    kind, _, name = column.partition("_")
    return f"{TITLES[kind]} {name}" if kind in TITLES else column


def _cell(value: object, digits: int) -> str:
    if not isinstance(value, float):
        return str(value)
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def plain_table(
    titles: Sequence[str], rows: Iterable[Sequence[str]], width: int | None = None
) -> str:
    """Lay out text in columns: the first one aligned left, the others right.

    Args:
        titles: One per column.
        rows: Each has one cell per column.
        width: If the table is wider than this, its other columns are below each other, each time
            beside the first. None lets it be as wide as necessary, as in a file.
    """
    rows = [list(row) for row in rows]
    if width is None or table_width(titles, rows) <= width:
        return _one_table(titles, rows)
    blocks, columns = [], list(range(1, len(titles)))
    while columns:
        taken = [0, columns.pop(0)]
        while columns:
            wider = [*taken, columns[0]]
            if table_width(*_columns(titles, rows, wider)) > width:
                break
            taken.append(columns.pop(0))
        blocks.append(_one_table(*_columns(titles, rows, taken)))
    return "\n".join(blocks)


def table_width(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Return the columns that :func:`plain_table` takes for a table in one piece."""
    return sum(size + 3 for size in _sizes([titles, *rows]))


def _sizes(rows: Sequence[Sequence[str]]) -> list[int]:
    """Return the columns that the widest cell of each column takes; CJK characters take two."""
    return [max(cell_len(printable(cell)) for cell in cells) for cells in zip(*rows, strict=True)]


def _columns(
    titles: Sequence[str], rows: Sequence[Sequence[str]], chosen: Sequence[int]
) -> tuple[list[str], list[list[str]]]:
    return [titles[i] for i in chosen], [[row[i] for i in chosen] for row in rows]


def _one_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    sizes = _sizes([titles, *rows])
    lines = []
    for row in (titles, *rows):
        cells = [printable(cell) for cell in row]
        spaces = [" " * (size - cell_len(cell)) for cell, size in zip(cells, sizes, strict=True)]
        first, *others = zip(cells, spaces, strict=True)
        columns = ["".join(first), *(space + cell for cell, space in others)]
        lines.append(("  " + "   ".join(columns)).rstrip())
    lines.insert(1, " " + _rule() * (sum(size + 3 for size in sizes) - 1))
    return "\n".join(lines) + "\n"


def _rule() -> str:
    """Return the character of a horizontal line that the standard output can show."""
    try:
        "─".encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return "-"
    return "─"
