"""Read mmengine's logs: records of figures, the environment, and the error that ended a run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import TypeGuard

# Bytes of a log to read: the environment is at the beginning, an error at the end.
BEGINNING, END = 200_000, 100_000
ERROR_LINES = 25
_RULE = "-" * 60
_HEADINGS = ("System environment:", "Runtime environment:")
_VALUE = re.compile(r"^ {4}(\S[^:]*): (.*)$")
_ERROR = re.compile(r"^(Traceback \(most recent call last\)|[\w.]*(Error|Exception)\b|error: )")
_LOGGED = " - mmengine - "
_SAVED = re.compile(r"Saving checkpoint at (\d+) (?:epochs|iterations)")


def read_records(file: Path) -> tuple[list[dict], int]:
    """Read the lines of a file that are whole JSON objects.

    Returns:
        The records, and how many lines could not be read: a killed run leaves half a line.
    """
    records, broken = [], 0
    for line in file.read_text(errors="replace").splitlines():
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError:
            broken += 1
            continue
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            records.append(record)
        else:
            broken += 1
    return records, broken


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value of a record is a number, which may be infinite or NaN."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_training(record: dict) -> bool:
    """Whether a record is from training, not from validation."""
    return "iter" in record


def order_starts(starts: list[tuple[Path, list[dict]]]) -> list[tuple[Path, list[dict]]]:
    """Sort the starts of a run by their steps.

    Folders are named by the time, which is wrong if the clock was set back. So a start comes after
    those that reached its first step, if there are any.

    Args:
        starts: The folder and the records of each start, sorted by the folders' names. Each start
            has at least one record of training.
    """
    steps = [[record["step"] for record in records if is_training(record)] for _, records in starts]
    gaps = [later - one for own in steps for one, later in pairwise(own)]
    gap = max([*gaps, 1] if gaps else [own[0] for own in steps], default=1)
    left, ordered, reached = list(range(len(starts))), [], 0
    while left:
        follows = [index for index in left if steps[index][0] <= reached + gap]
        first, *others = left
        reachable = any(steps[index][-1] + gap >= steps[first][0] for index in others)
        chosen = follows[0] if follows and reachable else first
        left.remove(chosen)
        ordered.append(starts[chosen])
        reached = max(reached, *steps[chosen])
    return ordered


def join_records(parts: Iterable[list[dict]]) -> tuple[list[dict], list[dict]]:
    """Join the records of a run that was resumed.

    Args:
        parts: The records of each start, in order. If two starts did the same steps, the later
            one counts.

    Returns:
        The records of training and those of validation, sorted by step.
    """
    train: dict[int, dict] = {}
    val: dict[int, dict] = {}
    for records in parts:
        begun = next((record for record in records if is_training(record)), None)
        if begun:
            # If a run counts epochs, a validation's step is its epoch.
            position = begun.get("epoch", begun["step"])
            train = {step: record for step, record in train.items() if step < begun["step"]}
            val = {step: record for step, record in val.items() if step < position}
        for record in records:
            # This includes a start without training, which only ran a missing validation.
            (train if is_training(record) else val)[record["step"]] = record
    return [train[step] for step in sorted(train)], [val[step] for step in sorted(val)]


def read_beginning(log: Path) -> str:
    """Read the part of mmengine's log with the environment and the config."""
    with log.open("rb") as file:
        return file.read(BEGINNING).decode(errors="replace")


def read_end(log: Path) -> str:
    """Read the part of a log with the last steps and an error."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - END))
        return file.read().decode(errors="replace")


def parse_environment(text: str) -> dict[str, str]:
    """Return the machine and the versions in mmengine's log, by name; empty if it has none.

    Args:
        text: The beginning of the log.
    """
    found: dict[str, str] = {}
    heading = False
    for line in text.splitlines():
        if line in _HEADINGS:
            heading = True
        elif line == _RULE and found:
            break
        elif heading and (match := _VALUE.match(line)):
            name, value = match.groups()
            if name != "PyTorch compiling details":
                found[name] = value
    return found


def last_saved(text: str) -> int:
    """Return the epoch or iteration of the last checkpoint in a log, or 0."""
    return max(map(int, _SAVED.findall(text)), default=0)


def error_lines(text: str) -> list[str]:
    """Return the error that ended a run, with its traceback; empty if there is none.

    Args:
        text: The end of the run's log or console output. An error does not count if log lines
            follow it.
    """
    lines = text.rstrip().splitlines()
    logged = [number for number, line in enumerate(lines) if _LOGGED in line]
    lines = lines[logged[-1] + 1 :] if logged else lines
    begins = [number for number, line in enumerate(lines) if _ERROR.match(line)]
    if not begins:
        return []
    tracebacks = [number for number in begins if lines[number].startswith("Traceback")]
    begin = tracebacks[-1] if tracebacks else begins[-1]
    error = lines[begin:]
    if len(error) <= ERROR_LINES:
        return error
    # The text after an error may be long, such as the same error of other processes.
    end = max((n for n in begins if n > begin), default=len(lines) - 1)
    return lines[max(begin, end - ERROR_LINES + 1) : end + 1]
