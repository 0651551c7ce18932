"""The elements of what the tools print: facts, a line of progress, tables. They print nothing.

Lines are laid out for a number of columns, or as long as they are for None: a file that is searched
for words must not be broken where a terminal would end.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from rich.text import Text

from convnext_dense.evaluation.tables import plain_table, table_width
from convnext_dense.text import printable
from convnext_dense.training.observer import TRAIN, Step, Validation

# Columns of the titles of facts, as in the report of loaded weights.
TITLES = 13
# A terminal with fewer columns is narrow.
_NARROW = 60
# A live line has a bar if so many columns are left for it.
_BAR = 12
# How many validations a table shows; the best is one of them.
_ROWS = 5


def facts(rows: Mapping[str, str], width: int | None = None) -> Text:
    """Lay out facts, one per line, with the titles in a column of their own.

    A line that is too long goes on below its text, or in a narrow terminal below its title. Words
    are never broken: a path can be copied.
    """
    lines = []
    for title, text in rows.items():
        head = f"{title:<{TITLES}}"
        indent = " " * (TITLES if width is None or width >= _NARROW else 2)
        line = Text(_wrapped(f"{head}{printable(text)}".rstrip(), width, indent))
        line.stylize("bold", 0, len(title))
        lines.append(line)
    return Text("\n").join(lines)


def _wrapped(text: str, width: int | None, indent: str) -> str:
    if width is None:
        return text
    return textwrap.fill(
        text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def note(message: str, width: int | None = None) -> Text:
    """Lay out a note, which goes on indented where it is too long."""
    return Text(_wrapped(printable(f"note: {message}"), width, "  "), style="cyan")


def progress(step: Step, width: int | None = None) -> Text:
    """Lay out how far a run is; parts that have no room are left out, the least important first."""
    count = f"{step.number}/{step.total}"
    unit = "iteration" if step.phase == TRAIN else step.phase
    epoch = f"epoch {step.epoch[0]}/{step.epoch[1]}" if step.epoch else ""
    # With the order in which they are left out, the last one first.
    parts = [
        (4, epoch),
        (0, f"{unit} {count}"),
        (1, "" if step.loss is None else f"loss {step.loss:.4f}"),
        (3, "" if step.rate is None else f"{_digits(step.rate)} it/s"),
        (2, "" if step.seconds_left is None else f"{duration(step.seconds_left)} left"),
        (5, "" if step.memory is None else f"{_digits(step.memory / 1e9)} GB"),
    ]
    parts = [(order, text) for order, text in parts if text]
    if width is None:
        return Text("  ".join(text for _, text in parts))
    while len(parts) > 1 and _length(parts) > width:
        parts.remove(max(parts))
    if len(parts) == 1 and _length(parts) > width:
        return Text(count)
    line = Text("  ".join(text for _, text in parts))
    room = width - _length(parts) - 3
    return line if room < _BAR else Text("  ").join([bar(step.number, step.total, room), line])


def bar(done: int, total: int, width: int) -> Text:
    """Draw a bar of so many columns."""
    full = round(width * done / total) if total else 0
    return Text.assemble(("━" * full, "green"), ("─" * (width - full), "bright_black"))


def duration(seconds: float) -> str:
    """Return a time such as 0:12:07, or 2 d 3:04:05."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return (f"{days} d " if days else "") + f"{hour}:{minute:02}:{second:02}"


def _length(parts: Sequence[tuple[int, str]]) -> int:
    return sum(len(text) + 2 for _, text in parts) - 2


def _digits(value: float) -> str:
    """Return a number of about two digits."""
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def validations(
    validated: Sequence[Validation], best: int, metric: str, width: int | None = None
) -> str:
    """Lay out the last validations and the best one as a table, with the best one marked.

    Args:
        validated: All of a run; the last is new.
        best: Index of the best one, or -1 if it is not among them.
        metric: The metric that decides; its column is the first.
        width: Columns; the last metrics are left out if they have no room. None shows all.
    """
    shown = sorted({*range(len(validated))[-_ROWS:], *([best] if best >= 0 else [])})
    # Averages come before their parts: bbox_mAP before bbox_mAP_50.
    names = [name for name in validated[-1].metrics if name != metric]
    names = [metric, *sorted(names, key=lambda name: name.count("_"))]
    rows = [
        [
            validated[index].place + " * best" * (index == best),
            *(figure(validated[index].metrics.get(name)) for name in names),
        ]
        for index in shown
    ]
    titles = ["validation", *(printable(name.removeprefix("coco/")) for name in names)]
    while width is not None and len(titles) > 2 and table_width(titles, rows) > width:
        titles, rows = titles[:-1], [row[:-1] for row in rows]
    return plain_table(titles, rows)


def figure(value: object) -> str:
    """Return a figure with as many digits as the benchmarks give it: 0.123, or 45.67 percent.

    COCO's -1 means that there was nothing to find.
    """
    if not isinstance(value, (int, float)):
        return "-" if value is None else str(value)
    if value == -1:
        return "-"
    return f"{value:.3f}" if abs(value) <= 1 else f"{value:.2f}"


def command(line: str) -> Text:
    """Lay out the next command in one piece, to be copied."""
    return Text(f"{'next':<{TITLES}}", style="bold") + Text(line, style="green")
