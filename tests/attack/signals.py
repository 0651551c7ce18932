"""Signals: a run ends by each as by Ctrl-C, says how to go on, and continues to the same end."""

from __future__ import annotations

import random
import re
import shlex
import signal
import time
from collections.abc import Callable
from pathlib import Path

from ground import Ground
from harness import Case, check, start
from judges import contents, no_parts, undisturbed
from kills import equal_outcome, names, newest_whole
from traps import Recorder, Trap, send

TITLE = "signals"
RIGHT = (
    "SIGTERM, SIGINT, SIGHUP and SIGUSR1, once or again, end a run within 20 s with exit status "
    "130 and one line: the newest whole checkpoint and a command which continues to the outcome of "
    "a run that was never stopped. A tool that is stopped leaves no half-written file."
)
SAMPLE = 2  # cases in make test
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
MOMENTS = 6  # for each of them
WITHIN = 20.0  # seconds
IS_WHOLE = re.compile(r"^interrupted; (\S+) is whole\. Go on with: (.+)$", re.MULTILINE)


def cases(ground: Ground, seed: int) -> list[Case]:
    """List all signals."""
    count = Recorder(ground.places).counts()["any"]
    listed = []
    for number in ENDING:
        for nth in range(MOMENTS):
            chance = random.Random(f"{seed} {number} {nth}")
            # From where the run has begun.
            place = chance.randrange(12, count - 2)
            again = chance.choice(ENDING) if nth == MOMENTS - 1 else None
            name = f"signals/{number.name}-{nth}"
            listed.append(Case(name, _ends(ground, Trap("any", place, send(number)), again)))
    listed.append(Case("signals/STOP-and-CONT", _is_stopped_for_a_while(ground)))
    for tool in ("test", "infer", "data"):
        for nth, number in enumerate((signal.SIGTERM, signal.SIGKILL, signal.SIGINT)):
            chance = random.Random(f"{seed} {tool} {nth}")
            listed.append(
                Case(f"signals/{tool}-{nth}", _stops_a_tool(ground, tool, number, chance.random()))
            )
    return listed


def _ends(ground: Ground, trap: Trap, again: int | None) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        work_dir = folder / "w"
        process = start("train", ground.train_argv("seg", work_dir=work_dir), folder, prepare=trap)
        if again:
            while not process.poll(0.002) and "interrupt" not in process.said()[1]:
                if process.cpu_seconds() > 0.8 * ground.cpu["seg"]:
                    break
            process.send(again)
        outcome = process.wait(WITHIN)
        undisturbed(outcome)
        if outcome.status == 0:
            return equal_outcome(ground.runs["seg"], work_dir)
        check(outcome.status == 130, outcome)
        said = [line for line in outcome.err.splitlines() if line.startswith("interrupted")]
        check(len(said) == 1, f"{len(said)} lines of how it ended: {outcome}")
        newest = newest_whole(work_dir)
        match = IS_WHOLE.search(outcome.err)
        if not newest:
            check(not match, f"no checkpoint is there, and it says so: {said[0]}")
            command = ground.train_argv("seg", "--resume", work_dir=work_dir)
        else:
            check(match, f"checkpoint {newest} is there, and it does not say so: {said[0]}")
            check(match[1].endswith(f"iter_{newest}.pth"), f"{said[0]}, of {names(work_dir)}")
            command = shlex.split(match[2])
            command = command[next(i for i, c in enumerate(command) if c.endswith(".py")) + 1 :]
        done = start("train", command, folder).wait()
        check(done.status == 0, f"{command} fails: {done}")
        equal_outcome(ground.runs["seg"], work_dir)

    return attack


def _is_stopped_for_a_while(ground: Ground) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        work_dir = folder / "w"
        process = start("train", ground.train_argv("seg", work_dir=work_dir), folder)
        while not newest_whole(work_dir) and not process.poll(0.01):
            pass
        process.send(signal.SIGSTOP)
        time.sleep(3)
        process.send(signal.SIGCONT)
        outcome = process.wait()
        check(outcome.status == 0, outcome)
        equal_outcome(ground.runs["seg"], work_dir)

    return attack


def tool_argv(ground: Ground, tool: str, out: Path) -> list[str]:
    """Return the arguments of a tool that writes into a folder."""
    if tool == "test":
        flags = ("--out", out / "predictions", "--show-dir", out / "pictures")
        return ground.argv("seg", ground.last["seg"], *flags, "--work-dir", out)
    if tool == "infer":
        images = ground.seg_data / "images" / "validation"
        config = ground.runs["seg"] / ground.configs["seg"].name
        saved = ("--save", "pictures,json,masks")
        return list(map(str, [config, ground.last["seg"], images, "-o", out, *saved]))
    return ["show", *ground.argv("seg", "-o", out / "samples.png")]


def _stops_a_tool(ground: Ground, tool: str, number: int, share: float) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        out = folder / "w"
        argv = tool_argv(ground, tool, out)
        recorder = Recorder(folder / "places.txt")
        whole = start(tool, argv, folder, prepare=recorder).wait()
        check(whole.status == 0, f"it fails unhurt: {whole}")
        before = _steady(out)
        trap = Trap("any", int(share * recorder.counts()["any"]), send(number))
        stopped = start(tool, argv, folder, prepare=trap).wait(WITHIN)
        check(stopped.status in (0, 130, -number), stopped)
        changed = [name for name, content in _steady(out).items() if before.get(name) != content]
        check(not [n for n in changed if ".part" not in n], f"half-written: {changed}; {stopped}")
        again = start(tool, argv, folder).wait()
        check(again.status == 0, f"it fails after the signal: {again}")
        no_parts(out)

    return attack


def _steady(folder: Path) -> dict[str, bytes]:
    """Read what a tool writes alike each time."""
    kept = (".png", ".jpg", ".csv", "predictions.json", "metrics.json")
    return {name: content for name, content in contents(folder).items() if name.endswith(kept)}
