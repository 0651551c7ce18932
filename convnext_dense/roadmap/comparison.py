"""Compare what the trainings of the steps reached: a table and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from rich import box
from rich.table import Table

from convnext_dense.backbone.roadmap import network_name
from convnext_dense.roadmap.figure import Bar, draw
from convnext_dense.roadmap.results import Reached
from convnext_dense.roadmap.table import count_step
from convnext_dense.text import printable


def as_table(metric: str, reached: Sequence[Reached], regime: str) -> Table:
    """Lay out what each step reached, with what it gained over the row before it.

    Args:
        metric: Name of the figure.
        reached: The steps, in the order of the road.
        regime: ``tiny`` or ``base``.
    """
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("step")
    titles = ("params (M)", "GFLOPs", "seeds", printable(metric), "deviation", "gain", "ImageNet")
    for title in titles:
        table.add_column(title, justify="right")
    gains = ["", *(f"{b.mean - a.mean:+.4f}" for a, b in pairwise(reached))]
    for one, gain in zip(reached, gains, strict=True):
        row = count_step(one.step, regime)
        table.add_row(
            one.step,
            f"{row.parameters / 1e6:.1f}",
            row.counted,
            str(len(one.values)),
            f"{one.mean:.4f}",
            "" if one.deviation is None else f"{one.deviation:.4f}",
            gain,
            row.accuracy,
        )
    return table


def draw_comparison(path: str | Path, metric: str, reached: Sequence[Reached], regime: str) -> None:
    """Draw the mean of each step, its deviation, and a point for each training.

    Raises:
        ImportError: If matplotlib is not installed.
        WriteError: If the file cannot be written.
    """
    bars = []
    for one in reached:
        spread = "" if one.deviation is None else f" ± {one.deviation:.4f}"
        label = f"{one.mean:.4f}{spread}    {count_step(one.step, regime).counted} G"
        bars.append(Bar(one.step, one.mean, label, one.deviation, one.values))
    ends = [network_name(one.step, regime) for one in (reached[0], reached[-1])]
    seeds = max(len(one.values) for one in reached)
    title = f"{ends[0]} to {ends[1]}: mean, deviation and each of {seeds} trainings"
    draw(path, bars, title, metric)
