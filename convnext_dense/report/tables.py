"""Make the page's tables: runs side by side, with the best value of each row marked."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeGuard

from convnext_dense.config.steps.weights import initial_checkpoint, licence_of_weights
from convnext_dense.evaluation.figures import Figures
from convnext_dense.evaluation.tables import TITLES, figure_title
from convnext_dense.report.logs import is_number
from convnext_dense.report.plots import MAIN_METRICS
from convnext_dense.report.run import Run
from convnext_dense.report.validation import Validation

NOTHING = "-"
# The figures of each class that are shown for several runs.
_MAIN_OF_CLASS = ("bbox_AP", "segm_AP", "IoU")


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        title: Its first cell.
        cells: The others.
        best: The indices of the best cells; empty if they cannot be compared.
    """

    title: str
    cells: Sequence[str]
    best: Sequence[int] = ()


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: Its caption.
        columns: The titles of all columns, including the first.
        rows: The rows.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Row]


@dataclass(frozen=True)
class RunFigures:
    """A run's figures, and how they were measured.

    Attributes:
        figures: The figures.
        source: Where they come from.
        images: The number of images that were evaluated, if known.
        of: The number of all images, if known.
        tta: Whether it was the test with several scales and flips.
    """

    figures: Figures
    source: str
    images: int | None
    of: int | None
    tta: bool = False

    @property
    def is_part(self) -> bool:
        """Whether only a part of the images was evaluated."""
        return self.images is not None and self.of is not None and self.images < self.of


def run_figures(run: Run, validation: Validation | None) -> RunFigures | None:
    """Return a run's figures: from its test, else from the validation."""
    if run.tested:
        about = run.tested.about
        images = about.get("images")
        checkpoint = str(about.get("checkpoint") or "a checkpoint").rpartition("/")[2]
        return RunFigures(
            run.tested.figures,
            f"a test with {checkpoint}",
            images if isinstance(images, int) else None,
            images if isinstance(images, int) else None,
            bool(about.get("tta")),
        )
    if validation is None:
        return None
    figures = validation.outcome.figures
    return RunFigures(figures, validation.source, validation.images, validation.of)


def summary_table(runs: Sequence[Run]) -> Table:
    """Return a table with the most important facts of each run."""
    least = min if are_alike(runs) else None
    rows = [
        Row("state", [f"{run.state.name}: {run.state.detail}" for run in runs]),
        Row("recipe", [run.recipe or NOTHING for run in runs]),
        *_weights(runs),
        Row("started", [_starts(run) for run in runs]),
        Row("reached", [_reached(run) for run in runs]),
        _numbers("last loss", [_last(run, "loss") for run in runs], least, "{:.4f}"),
    ]
    for name in {name: None for run in runs if (name := main_metric(run))}:
        rows.append(_best_validation(name, runs))
    times = [median(values) if (values := _logged(run, "time")) else None for run in runs]
    rows.append(_numbers("seconds per iteration", times, least, "{:.3f}"))
    memory = [_logged(run, "memory") for run in runs]
    if any(memory):
        rows.append(
            _numbers("GPU memory, MB", [max(m, default=None) for m in memory], least, "{:.0f}")
        )
    rows.append(
        Row("checkpoint", [run.checkpoint.name if run.checkpoint else NOTHING for run in runs])
    )
    return Table("Runs", ["", *(run.name for run in runs)], rows)


def are_alike(runs: Sequence[Run]) -> bool:
    """Whether the runs that trained have the same task and the same parts of the loss."""
    trained = [run for run in runs if run.train]
    tasks = {(run.config or {}).get("default_scope") for run in trained}
    losses = {frozenset(n for r in run.train for n in r if "loss" in n) for run in trained}
    return len(tasks) == len(losses) == 1


def main_metric(run: Run) -> str | None:
    """Return the name of the figure that decides which checkpoint of a run is the best."""
    names = run.metrics()
    hooks = (run.config or {}).get("default_hooks") or {}
    wanted = (hooks.get("checkpoint") or {}).get("save_best")
    if wanted in names:
        return wanted
    return next((n for n in names if n.endswith(MAIN_METRICS[:2])), names[0] if names else None)


def figures_tables(names: Sequence[str], found: Sequence[RunFigures | None]) -> list[Table]:
    """Lay out the official figures of runs side by side, boxes and masks in their own tables.

    Args:
        names: The names of the runs.
        found: Their figures.
    """
    keys = {key: None for one in found if one for key in one.figures.summary}
    better = max if are_comparable(found) else None
    tables = []
    for kind, title in {"bbox": "Boxes", "segm": "Masks", "": "Figures"}.items():
        rows = [
            _numbers(
                key.removeprefix(f"{kind}_"),
                [one.figures.summary.get(key) if one else None for one in found],
                better,
                figure_format(key),
            )
            for key in keys
            if _kind(key) == kind
        ]
        if rows:
            tables.append(Table(title, ["", *names], rows))
    return tables


def class_tables(names: Sequence[str], found: Sequence[RunFigures | None]) -> list[Table]:
    """Lay out the figures of each class: all figures of one run, or the main ones of several."""
    present = [one for one in found if one and one.figures.per_class]
    if len(found) == 1 and present:
        rows = present[0].figures.per_class
        keys = [key for key in rows[0] if key != "class"]
        lines = [
            Row(str(row["class"]), [_text(row.get(key), figure_format(key)) for key in keys])
            for row in rows
        ]
        return [Table("Classes", ["class", *map(figure_title, keys)], lines)]
    tables = []
    for key in _MAIN_OF_CLASS:
        columns = [_by_class(one, key) for one in found]
        classes = {name: None for column in columns for name in column}
        lines = [
            _numbers(
                name,
                [column.get(name) for column in columns],
                max if are_comparable(found) else None,
                figure_format(key),
            )
            for name in classes
        ]
        if lines:
            tables.append(Table(f"{figure_title(key)} of each class", ["class", *names], lines))
    return tables


def environment_table(runs: Sequence[Run]) -> Table | None:
    """Lay out machines and versions side by side."""
    names = {name: None for run in runs for name in run.environment}
    rows = [Row(name, [run.environment.get(name, NOTHING) for run in runs]) for name in names]
    return Table("Environment", ["", *(run.name for run in runs)], rows) if rows else None


def are_comparable(found: Sequence[RunFigures | None]) -> bool:
    """Whether figures were measured in the same way, as far as is known."""
    ways = {(one.images, one.tta) for one in found if one}
    return len(ways) == 1


def figure_format(key: str) -> str:
    """Return the number format of a figure: COCO's are fractions, mmseg's are percent."""
    if key == "objects":
        return "{:.0f}"
    # mmdet logs its own as coco/bbox_mAP.
    return "{:.3f}" if _kind(key.rpartition("/")[2]) else "{:.2f}"


def _kind(key: str) -> str:
    kind = key.partition("_")[0]
    return kind if kind in TITLES else ""


def _by_class(one: RunFigures | None, key: str) -> dict[str, str | float]:
    rows = one.figures.per_class if one else []
    return {str(row["class"]): row[key] for row in rows if key in row}


def _best_validation(name: str, runs: Sequence[Run]) -> Row:
    found = []
    for run in runs:
        records = [record for record in run.val if _is_number(record.get(name))]
        found.append(max(records, key=lambda record: record[name], default=None))
    numbers = [record and record[name] for record in found]
    row = _numbers(f"best {name}", numbers, max, figure_format(name))
    units = ["epoch" if run.by_epoch else "iteration" for run in runs]
    cells = [
        f"{cell} ({unit} {record['step']})" if record else cell
        for cell, unit, record in zip(row.cells, units, found, strict=True)
    ]
    return Row(row.title, cells, row.best)


def _numbers(title: str, values: Sequence[object], better: Callable | None, layout: str) -> Row:
    """Lay out numbers, and mark the best if they differ."""
    known = [value for value in values if _is_known(value)]
    marked: list[int] = []
    if better and len(known) > 1 and len(set(known)) > 1:
        marked = [number for number, value in enumerate(values) if value == better(known)]
    return Row(title, [_text(value, layout) for value in values], marked)


def _text(value: object, layout: str) -> str:
    return layout.format(value) if _is_known(value) else NOTHING


def _is_known(value: object) -> TypeGuard[float]:
    # COCO's figures are -1 if there is nothing to find.
    return _is_number(value) and value != -1


def _is_number(value: object) -> TypeGuard[float]:
    return is_number(value) and math.isfinite(value)


def _weights(runs: Sequence[Run]) -> list[Row]:
    """Return the rows of the weights that the backbones started from, with their licences."""
    sources = [initial_checkpoint(run.config) if run.config else None for run in runs]
    licences = [
        source and (licence_of_weights(source) or "not told by the name") for source in sources
    ]
    return [
        Row("initial weights", [source or NOTHING for source in sources]),
        Row("their licence", [str(licence or NOTHING) for licence in licences]),
    ]


def _starts(run: Run) -> str:
    if not run.starts:
        return NOTHING
    text = run.starts[0].strftime("%Y-%m-%d %H:%M")
    again = len(run.starts) - 1
    return text + (f", resumed {again} times" if again > 1 else ", resumed once" if again else "")


def _reached(run: Run) -> str:
    if not run.train:
        return NOTHING
    last = run.train[-1]
    length = run.length or "?"
    if run.by_epoch:
        return f"epoch {last.get('epoch', '?')} of {length}, iteration {last['step']}"
    return f"iteration {last['step']} of {length}"


def _last(run: Run, name: str) -> object:
    return next((r[name] for r in reversed(run.train) if name in r), None)


def _logged(run: Run, name: str) -> list[float]:
    return [value for record in run.train if _is_number(value := record.get(name))]
