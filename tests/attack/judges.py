"""What counts as right, in one place for all kinds of attacks."""

from __future__ import annotations

import re
from pathlib import Path

from harness import Outcome, check

# An exception's type in the place of a sentence.
BARE_TYPE = re.compile(r"^error: (?:\w+\.)*\w*(?:Error|Exception|Exit|Interrupt)\b\s*(?::|\(|$)")
ERROR = re.compile(r"^(?:error: |\S+\.py(?: \w+)?: error: )")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]|\x1b(?!\[[0-9;]*m)")


def errors(outcome: Outcome) -> list[str]:
    """List the lines that say what was wrong."""
    # torch's own word on a worker that crashed ends in a zero byte.
    lines = (line.lstrip("\0") for line in outcome.err.splitlines())
    return [line for line in lines if ERROR.match(line)]


def undisturbed(outcome: Outcome) -> None:
    """Check that a tool came to an end of its own, with nothing that only a programmer reads."""
    check(not outcome.timed_out, f"it hangs: {outcome}")
    check(outcome.status >= 0, f"it crashes: {outcome}")
    for text in ("Traceback (most recent call last)", "--- Logging error ---"):
        check(text not in outcome.err + outcome.out, f"{text}: {outcome}")


def refused(outcome: Outcome, *named: object) -> str:
    """Check that a tool ended in one line which names one of what was given; return the line."""
    undisturbed(outcome)
    lines = errors(outcome)
    check(outcome.status in (1, 2), f"exit status {outcome.status}: {outcome}")
    check(len(lines) == 1, f"{len(lines)} lines of error: {outcome}")
    check(not BARE_TYPE.match(lines[0]), f"a bare exception type: {lines[0]}")
    wanted = [str(name) for name in named]
    found = not wanted or any(name in lines[0] for name in wanted)
    check(found, f"it names none of {wanted}: {lines[0]}")
    return lines[0]


def succeeded(outcome: Outcome) -> None:
    """Check that a tool did its work."""
    undisturbed(outcome)
    check(outcome.status == 0, f"it fails: {outcome}")


def refused_or_done(outcome: Outcome, *named: object) -> None:
    """Check that a tool did its work, or ended in one line that names one of what was given."""
    succeeded(outcome) if outcome.status == 0 else refused(outcome, *named)


def no_parts(folder: Path) -> None:
    """Check that no half-written file is left."""
    left = [str(p.relative_to(folder)) for p in folder.rglob("*") if ".part" in p.name]
    check(not left, f"parts are left: {left}")


def contents(folder: Path) -> dict[str, bytes]:
    """Read all files below a folder."""
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }
