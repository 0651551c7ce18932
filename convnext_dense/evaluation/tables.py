"""Figures as tables of plain text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from convnext_dense.evaluation.coco import OFFICIAL
from convnext_dense.evaluation.coco_input import TYPES
from convnext_dense.evaluation.figures import Figures
from convnext_dense.text import printable

if TYPE_CHECKING:
    from convnext_dense.evaluation.published import Comparison

_TITLES = {"bbox": "box", "segm": "mask"}


def summary_table(figures: Figures) -> str:
    """Lay out the official figures: COCO's twelve per type with what they mean, or mmseg's."""
    summary = figures.summary
    types = [name for name in TYPES if f"{name}_AP" in summary]
    if not types:
        return plain_table(["", *summary], [["", *(f"{value:.2f}" for value in summary.values())]])
    return plain_table(
        ["", "IoU", "area", "detections", *(_TITLES[name] for name in types)],
        [
            [name, iou, area, str(dets), *(f"{summary[f'{t}_{name}']:.3f}" for t in types)]
            for name, iou, area, dets in OFFICIAL
        ],
    )


def per_class_table(figures: Figures) -> str:
    """Lay out the figures of each class; a dash stands where there is nothing to find."""
    rows = figures.per_class
    # pycocotools prints fractions with three digits, mmseg percent with two.
    digits = 3 if any("_AP" in title for title in rows[0]) else 2
    cells = [[_cell(value, digits) for value in row.values()] for row in rows]
    return plain_table([_title(column) for column in rows[0]], cells)


def comparison_table(comparison: Comparison) -> str:
    """Lay out what was published beside what was measured, with what makes them incomparable."""
    rows = [
        [f.metric, f"{f.here:.2f}", f"{f.published:.1f}", f"{f.difference:+.2f}"]
        for f in comparison.figures
    ]
    text = f"published: {comparison.name}\n"
    text += plain_table(["in percent", "here", "published", "difference"], rows)
    if comparison.unlike:
        text += f"not comparable: {'; '.join(comparison.unlike)}\n"
    return text


def _title(column: str) -> str:
    kind, _, name = column.partition("_")
    return f"{_TITLES[kind]} {name}" if kind in _TITLES else column


def _cell(value: object, digits: int) -> str:
    if not isinstance(value, float):
        return str(value)
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def plain_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out text in columns, the first to the left and the others to the right.

    Args:
        titles: One per column.
        rows: As many cells each.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE)
    for index, title in enumerate(titles):
        table.add_column(Text(printable(title)), justify="right" if index else "left", no_wrap=True)
    for row in rows:
        # A name may hold what rich takes for markup, and what a terminal obeys.
        table.add_row(*(Text(printable(cell)) for cell in row))
    # As wide as it needs: a column that is cut off in a log cannot be read.
    console = Console(width=1000, color_system=None)
    console.width = console.measure(table).maximum
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines() if line.strip()) + "\n"
