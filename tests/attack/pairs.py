"""Two runs in one work directory: one of them trains, the others end in one line."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from ground import Ground
from harness import Case, Process, check, run, start
from judges import refused, succeeded
from kills import equal_outcome, names
from traps import Trap

TITLE = "two runs in one work directory"
RIGHT = (
    "One run continues to the outcome that it has alone; every other ends within seconds, with "
    "exit status 1 and one line that names the folder and the process. Once a run is gone, "
    "however it went, the next begins at once. Tests and reports of a folder in use work."
)
SAMPLE = 2  # cases in make test
SLOW = ("pairs/at-once", "pairs/beside")  # never among them
LATER, AT_ONCE, AFTER = 12, 8, 6
WITHIN = 20.0  # seconds


def cases(ground: Ground, seed: int) -> list[Case]:
    """List all cases."""
    listed = []
    for nth in range(LATER):
        chance = random.Random(f"{seed} later {nth}")
        listed.append(Case(f"pairs/later-{nth:02}", _one_later(ground, chance)))
    for nth in range(AT_ONCE):
        number = 2 + nth % 2
        listed.append(Case(f"pairs/at-once-{nth:02}", _several_at_once(ground, number)))
    for nth, sent in enumerate((signal.SIGKILL, signal.SIGTERM, signal.SIGABRT) * (AFTER // 3)):
        chance = random.Random(f"{seed} after {nth}")
        listed.append(Case(f"pairs/after-{nth:02}", _after_a_death(ground, sent, chance)))
    listed.append(Case("pairs/stopped", _stopped(ground)))
    for tool in ("test", "report", "infer"):
        listed.append(Case(f"pairs/beside-{tool}", _beside(ground, tool)))
    return listed


def _pause(seconds: float) -> Callable[[], None]:
    """Return an action that lets a run wait at a place."""
    return lambda: time.sleep(seconds)


def _holding(ground: Ground, work_dir: Path, nth: int = 60) -> Process:
    """Start a run that waits for six seconds in the middle; give it once it has begun."""
    argv = ground.train_argv("seg", work_dir=work_dir)
    process = start("train", argv, work_dir.parent, prepare=Trap("any", nth, _pause(6)))
    while not list(work_dir.glob("*.pth")):
        check(not process.poll(0.02), "the first run ends by itself")
    return process


def _one_later(ground: Ground, chance: random.Random) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        work_dir = folder / "w"
        first = _holding(ground, work_dir, chance.randrange(40, 110))
        time.sleep(chance.uniform(0, 0.5))
        resume = ["--resume"] * chance.randrange(2)
        # The folder by another way to it.
        other = folder / "link"
        other.symlink_to(work_dir)
        named = chance.choice((work_dir, other, Path("w")))
        argv = ground.train_argv("seg", *resume, work_dir=named)
        second = run("train", argv, folder, WITHIN)
        refused(second, str(named), str(work_dir))
        check(str(first.pid) in second.err, f"it does not name process {first.pid}: {second}")
        succeeded(first.wait())
        equal_outcome(ground.runs["seg"], work_dir)

    return attack


def _several_at_once(ground: Ground, number: int) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        work_dir = folder / "w"
        # All three are there while the first trains.
        pause = Trap("validation", 1, _pause(4))
        argv = ground.train_argv("seg", work_dir=work_dir)
        processes = [start("train", argv, folder, prepare=pause) for _ in range(number)]
        outcomes = [process.wait() for process in processes]
        winners = [outcome for outcome in outcomes if outcome.status == 0]
        check(len(winners) == 1, f"{len(winners)} of {number} train: {outcomes[0]}")
        for outcome in outcomes:
            if outcome.status:
                refused(outcome, str(work_dir))
        equal_outcome(ground.runs["seg"], work_dir)

    return attack


def _after_a_death(ground: Ground, sent: int, chance: random.Random) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        work_dir = folder / "w"
        first = _holding(ground, work_dir, chance.randrange(40, 110))
        first.send(sent)
        first.wait()
        argv = ground.train_argv("seg", "--resume", work_dir=work_dir)
        succeeded(run("train", argv, folder, WITHIN))
        equal_outcome(ground.runs["seg"], work_dir)

    return attack


def _stopped(ground: Ground) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        work_dir = folder / "w"
        first = _holding(ground, work_dir)
        first.send(signal.SIGSTOP)
        argv = ground.train_argv("seg", "--resume", work_dir=work_dir)
        refused(run("train", argv, folder, WITHIN), str(work_dir))
        first.send(signal.SIGCONT)
        succeeded(first.wait())
        equal_outcome(ground.runs["seg"], work_dir)

    return attack


def _beside(ground: Ground, tool: str) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        work_dir = folder / "w"
        first = _holding(ground, work_dir)
        if tool == "test":
            argv = ground.argv("seg", ground.last["seg"], "--work-dir", work_dir)
        elif tool == "report":
            argv = [work_dir, "-o", folder / "report.html"]
        else:
            (picture, *_) = (ground.seg_data / "images" / "validation").iterdir()
            argv = [work_dir / "tiny_seg.py", ground.last["seg"], picture, "-o", folder / "found"]
        succeeded(run(tool, argv, folder))
        succeeded(first.wait())
        kept = [name for name in names(work_dir) if name.endswith(".pth")]
        check(kept == [n for n in names(ground.runs["seg"]) if n.endswith(".pth")], kept)

    return attack
