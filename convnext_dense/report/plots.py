"""Draw the page's plots by matplotlib: curves over a run, precision over recall, confusion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from convnext_dense.report.detection import TITLES, Curves
from convnext_dense.report.logs import is_number
from convnext_dense.report.missing_parts import MissingPart, make_part
from convnext_dense.report.run import Run
from convnext_dense.report.svg import RUNS, render_svg, run_colour, themed_figure

SIZE = 4.4, 2.6
# More points would not be visible, and would make the page large.
MOST_POINTS = 400
MOST_NAMES, MOST_NUMBERS = 40, 15
# These metrics are shown at once, the others on demand.
MAIN_METRICS = ("mAP", "mIoU", "mAcc", "aAcc")


@dataclass(frozen=True)
class Plot:
    """A plot of the page.

    Attributes:
        title: What it shows.
        svg: The plot.
        note: The meaning of its lines, if the legend of runs does not explain them.
    """

    title: str
    svg: Markup
    note: str = ""


@dataclass(frozen=True)
class Line:
    """A line of a plot.

    Attributes:
        name: Its name.
        colour: The number of its run.
        x: (N,).
        y: (N,); NaN leaves a gap.
        style: As in matplotlib.
        marker: As in matplotlib.
    """

    name: str
    colour: int
    x: np.ndarray
    y: np.ndarray
    style: str = "-"
    marker: str = ""


def training_plots(runs: Sequence[Run]) -> list[Plot | MissingPart]:
    """Draw loss, learning rate, time and memory per iteration, if they were logged."""
    time_lines = _logged(runs, "time") + _logged(runs, "data_time", style=":")
    found = [
        _lines("loss", _logged(runs, "loss"), "iteration"),
        _lines("learning rate", _logged(runs, "lr"), "iteration"),
        _lines(
            "seconds per iteration", time_lines, "iteration", zero=True, note="Dotted: loading data"
        ),
        _lines("GPU memory in MB", _logged(runs, "memory"), "iteration", zero=True),
    ]
    return [plot for plot in found if plot]


def loss_plots(runs: Sequence[Run]) -> list[Plot | MissingPart]:
    """Draw each part of the loss, and other values of the model in the training log."""
    known = ("step", "iter", "epoch", "lr", "base_lr", "time", "data_time", "memory", "loss")
    names = {name: None for run in runs for record in run.train for name in record}
    found = [_lines(name, _logged(runs, name), "iteration") for name in names if name not in known]
    return [plot for plot in found if plot]


def metric_plots(runs: Sequence[Run]) -> tuple[list[Plot | MissingPart], list[Plot | MissingPart]]:
    """Draw the figures of the validations over time.

    Returns:
        The plots of the main figures, and of the others.
    """
    by_epoch = all(run.by_epoch for run in runs if run.val)
    main: list[Plot | MissingPart] = []
    others: list[Plot | MissingPart] = []
    names = {name: None for run in runs for name in run.metrics()}
    is_main = {name: name.endswith(MAIN_METRICS) for name in names}
    for name in names:
        lines = [
            Line(
                run.name,
                number,
                validation_steps(run, by_epoch),
                _values(run.val, name),
                marker="o",
            )
            for number, run in enumerate(runs)
        ]
        plot = _lines(name, lines, "epoch" if by_epoch else "iteration")
        if plot:
            (main if is_main[name] or not any(is_main.values()) else others).append(plot)
    return main, others


def recall_plots(
    curves: Sequence[tuple[int, str, Sequence[Curves]]],
) -> list[Plot | MissingPart]:
    """Draw precision over recall.

    Args:
        curves: The number, the name and the curves of each run.
    """
    found = []
    for kind, title in TITLES.items():
        lines = []
        for number, name, of_run in curves:
            for one in of_run:
                if one.kind == kind:
                    lines.append(Line(f"{name} at IoU 0.50", number, one.recall, one.half))
                    mean = Line(f"{name}, mean", number, one.recall, one.mean, style="--")
                    lines.append(mean)
        note = "Solid: IoU 0.50. Dashed: mean over IoU 0.50 to 0.95. Both are means of the classes"
        plot = _lines(f"precision of {title}", lines, "recall", unit=True, note=note)
        found += [plot] if plot else []
    return found


def confusion_plot(confusion: np.ndarray, classes: Sequence[str], name: str, key: str) -> Plot:
    """Draw as which class the pixels of each true class are predicted.

    Args:
        confusion: (K, K + 1), see :class:`~convnext_dense.report.segmentation.SegmentationOutcome`.
        classes: K names.
        name: The name of the run.
        key: The prefix of the SVG's ids.
    """
    if not confusion[:, -1].any():
        confusion = confusion[:, :-1]
    columns = [*classes, "unlabelled"][: confusion.shape[1]]
    shares = confusion / np.maximum(1, confusion.sum(1, keepdims=True))
    side = 2.2 + 0.26 * min(len(classes), MOST_NAMES)
    with themed_figure(side, side) as figure:
        axes = figure.subplots()
        axes.grid(False)
        axes.imshow(shares, cmap="cividis", vmin=0, vmax=1, aspect="auto")
        axes.set_xlabel("prediction")
        axes.set_ylabel("truth")
        if len(classes) <= MOST_NAMES:
            axes.set_xticks(range(len(columns)), columns, rotation=90)
            axes.set_yticks(range(len(classes)), classes)
        if len(classes) <= MOST_NUMBERS:
            for (row, column), share in np.ndenumerate(shares):
                if share >= 0.005:
                    dark = "#111111" if share > 0.5 else "#ffffff"
                    text = f"{100 * share:.0f}"
                    axes.text(column, row, text, ha="center", va="center", color=dark, fontsize=7)
    right = np.diagonal(shares)[confusion.sum(1) > 0]
    description = (
        f"Confusion matrix of {name}: {len(classes)} classes, of the pixels of a class "
        f"{100 * right.mean():.0f} percent on average are predicted as that class"
    )
    note = "Each row: of the pixels of a true class, the percentage that is predicted as each class"
    return Plot(f"Confusion of {name}", render_svg(figure, key, description), note)


def confusions(
    confusion: np.ndarray, classes: Sequence[str], number: int = 10
) -> list[tuple[str, str, float]]:
    """List the most frequent confusions.

    Returns:
        The true class, the predicted one, and the part of the true class's pixels; largest first.
    """
    names = [*classes, "unlabelled"]
    shares = confusion / np.maximum(1, confusion.sum(1, keepdims=True))
    np.fill_diagonal(shares, 0)
    order = np.argsort(-shares, axis=None, kind="stable")[:number]
    places = [np.unravel_index(place, shares.shape) for place in order]
    return [(names[i], names[j], float(shares[i, j])) for i, j in places if shares[i, j] > 0]


def _logged(runs: Sequence[Run], name: str, style: str = "-") -> list[Line]:
    return [
        Line(
            run.name,
            number,
            np.array([record["step"] for record in run.train], float),
            _values(run.train, name),
            style,
        )
        for number, run in enumerate(runs)
    ]


def _values(records: Sequence[dict], name: str) -> np.ndarray:
    values = (record.get(name) for record in records)
    return np.array([value if is_number(value) else np.nan for value in values], float)


def validation_steps(run: Run, by_epoch: bool) -> np.ndarray:
    """Return the steps of a run's validations.

    Args:
        run: The run.
        by_epoch: Whether to count epochs instead of iterations. If the run counts epochs, its
            iterations are the last that were logged before each validation.

    Returns:
        (N,) float64.
    """
    steps = [record["step"] for record in run.val]
    if run.by_epoch and not by_epoch:
        ends = {record["epoch"]: record["step"] for record in run.train if "epoch" in record}
        steps = [max((s for e, s in ends.items() if e <= epoch), default=0) for epoch in steps]
    return np.array(steps, float)


def _lines(
    title: str,
    lines: Sequence[Line],
    xlabel: str,
    *,
    zero: bool = False,
    unit: bool = False,
    note: str = "",
) -> Plot | MissingPart | None:
    """Draw lines; return None if no line has a value."""
    lines = [line for line in lines if np.isfinite(line.y).any()]
    if not lines:
        return None
    return make_part(title, _draw_lines, title, lines, xlabel, zero, unit, note)


def _draw_lines(
    title: str, lines: Sequence[Line], xlabel: str, zero: bool, unit: bool, note: str
) -> Plot:
    with themed_figure(*SIZE) as figure:
        axes = figure.subplots()
        for line in lines:
            x, y = thin_out(line.x, line.y)
            # After the last colour, the first one is used again, with dashes.
            style = "-." if line.colour >= RUNS and line.style == "-" else line.style
            marker = line.marker or ("o" if np.isfinite(y).sum() == 1 else "")
            axes.plot(x, y, style, color=run_colour(line.colour), marker=marker, lw=1.4, ms=4)
        axes.set_xlabel(xlabel)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=not unit))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        if zero:
            axes.set_ylim(bottom=0)
        if unit:
            axes.set(xlim=(0, 1), ylim=(0, 1.02))
    key = f"f{crc32(title.encode()):x}"
    description = f"{title} by {xlabel}: {'; '.join(map(_describe, lines[:RUNS]))}"
    return Plot(title, render_svg(figure, key, description), note)


def thin_out(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return at most :data:`MOST_POINTS` points, each the mean of its neighbours."""
    if len(x) <= MOST_POINTS:
        return x, y
    parts = np.array_split(np.arange(len(x)), MOST_POINTS)
    means = [
        y[part][np.isfinite(y[part])].mean() if np.isfinite(y[part]).any() else np.nan
        for part in parts
    ]
    return np.array([x[part].mean() for part in parts]), np.array(means)


def _describe(line: Line) -> str:
    values = line.y[np.isfinite(line.y)]
    if len(values) == 1:
        return f"{line.name} {values[0]:.4g}"
    return (
        f"{line.name} from {values[0]:.4g} to {values[-1]:.4g}, "
        f"least {values.min():.4g}, most {values.max():.4g}"
    )
