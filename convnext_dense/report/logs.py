"""What mmengine's loggers leave behind: records of figures, the environment, an error."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

# Of a log: its beginning holds the environment, its end the error. In bytes.
BEGINNING, END = 200_000, 100_000
ERROR_LINES = 25
_RULE = "-" * 60
_HEADINGS = ("System environment:", "Runtime environment:")
_VALUE = re.compile(r"^ {4}(\S[^:]*): (.*)$")
_ERROR = re.compile(r"^(Traceback \(most recent call last\)|[\w.]*(Error|Exception)\b|error: )")
_LOGGED = " - mmengine - "
_SAVED = re.compile(r"Saving checkpoint at (\d+) (?:epochs|iterations)")


def read_records(file: Path) -> tuple[list[dict], int]:
    """Read a file of one JSON object per line, as far as it is whole.

    Returns:
        The records, and how many lines could not be read: a run that was killed leaves half a line.
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


def is_training(record: dict) -> bool:
    """Return whether a record is one of training, rather than of validation."""
    return "iter" in record


def in_order(starts: list[tuple[Path, list[dict]]]) -> list[tuple[Path, list[dict]]]:
    """Order the starts of a run as their steps follow each other.

    Folders are called by the time, which is wrong where the clock was set back. A start whose first
    step nothing before it reached comes after those that reach it, where there are any.

    Args:
        starts: The folder of each start and its records, with one of training at least; in the
            order of their names.
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


def join(parts: Iterable[list[dict]]) -> tuple[list[dict], list[dict]]:
    """Join the records of a run that was resumed.

    Args:
        parts: The records of each start, in the order of the starts. Where two starts went through
            the same steps, the later counts.

    Returns:
        The records of training and those of validation, by step.
    """
    train: dict[int, dict] = {}
    val: dict[int, dict] = {}
    for records in parts:
        begun = next((record for record in records if is_training(record)), None)
        if begun:
            # In runs by epoch a validation's step is its epoch.
            position = begun.get("epoch", begun["step"])
            train = {step: record for step, record in train.items() if step < begun["step"]}
            val = {step: record for step, record in val.items() if step < position}
        for record in records:
            # Also a start without training, which made up the last validation.
            (train if is_training(record) else val)[record["step"]] = record
    return [train[step] for step in sorted(train)], [val[step] for step in sorted(val)]


def read_beginning(log: Path) -> str:
    """Read where mmengine's log tells of environment and config."""
    with log.open("rb") as file:
        return file.read(BEGINNING).decode(errors="replace")


def read_end(log: Path) -> str:
    """Read where a log tells of the last steps and of an error."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - END))
        return file.read().decode(errors="replace")


def environment(text: str) -> dict[str, str]:
    """Return what mmengine's log says of the machine and the versions, by name.

    Args:
        text: The beginning of the log.

    Returns:
        Nothing where the log has no such part.
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
    """Return the epoch or iteration of the last checkpoint that a log tells of, or 0."""
    return max(map(int, _SAVED.findall(text)), default=0)


def error_lines(text: str) -> list[str]:
    """Return the error that ended a run, with its traceback; nothing where there is none.

    Args:
        text: The end of what the run wrote to its log or to the console. An error after which the
            log goes on is over.
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
    # What follows an error may be long, such as the same error of other processes.
    end = max((n for n in begins if n > begin), default=len(lines) - 1)
    return lines[max(begin, end - ERROR_LINES + 1) : end + 1]
