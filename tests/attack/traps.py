"""Stops a process where it is about to do a certain thing, seen through Python's audit events."""

from __future__ import annotations

import os
import re
import resource
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.link", "os.truncate"}
# Its own name, or that of the part that takes its place.
OF_A_CHECKPOINT = re.compile(r"^(?:.*(?:iter|epoch)_\d.*\.pth|\..*\.part.*\.pth)$")
Matches = Callable[[str, str], bool]

# An event and a path. The event comes before the deed.
PLACES: dict[str, Matches] = {
    "saving": lambda event, path: _is_checkpoint(path) and "best_" not in path,
    "best": lambda event, path: _is_checkpoint(path) and "best_" in path,
    "record": lambda event, path: "last_checkpoint" in Path(path).name,
    "validation": lambda event, path: event == "open" and "/images/validation/" in path,
    "log": lambda event, path: event == "open" and path.endswith(("scalars.json", ".log")),
    # In the middle of writing it.
    "middle": lambda event, path: event == "open" and _is_checkpoint(path),
    # All that is done in the work directory, or to read the data.
    "any": lambda event, path: "/w/" in path or "/images/" in path,
}


def _is_checkpoint(path: str) -> bool:
    return bool(OF_A_CHECKPOINT.match(Path(path).name))


class Trap:
    """Does something when a process comes to a place for the nth time.

    Args:
        place: One of :data:`PLACES`.
        nth: From 0.
        act: What to do.
    """

    def __init__(self, place: str, nth: int, act: Callable[[], object]) -> None:
        self.matches, self.left, self.act = PLACES[place], nth, act

    def __call__(self) -> None:
        """Set the trap in this process, for good."""
        sys.addaudithook(self._heed)

    def _heed(self, event: str, args: tuple) -> None:
        if any(self.matches(event, path) for path in _paths(event, args)):
            self.left -= 1
            if self.left == -1:
                self.act()


class Recorder:
    """Records how often a process comes to each place.

    Args:
        file: Where to; :meth:`counts` reads it.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    def __call__(self) -> None:
        """Record the places of this process."""
        to = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

        def heed(event: str, args: tuple) -> None:
            for path in _paths(event, args):
                for place, matches in PLACES.items():
                    if matches(event, path):
                        os.write(to, f"{place} {event} {path}\n".encode())

        sys.addaudithook(heed)

    def counts(self) -> Counter[str]:
        """Count the places that the process came to."""
        return Counter(line.split()[0] for line in self.file.read_text().splitlines())


def _paths(event: str, args: tuple) -> list[str]:
    if event not in EVENTS:
        return []
    # A rename is one deed, named by where it leads.
    path = args[1] if event in ("os.rename", "os.link") else args[0]
    if not isinstance(path, str | bytes | os.PathLike):
        return []
    return [str(Path.cwd() / os.fsdecode(path))]


def send(number: int) -> Callable[[], None]:
    """Return an action that sends a signal to the process in the trap."""
    return lambda: os.kill(os.getpid(), number)


def die_in_the_middle() -> None:
    """Let the kernel kill this process once the file that it opens has 100 kB."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
