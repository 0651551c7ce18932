"""Kills at random moments and at chosen ones: nothing is lost, and resumed runs end alike."""

from __future__ import annotations

import random
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ground import EPOCHS, ITERATIONS, Ground
from harness import Case, Outcome, check, run, start
from traps import Recorder, Trap, die_in_the_middle, send

if TYPE_CHECKING:
    import torch

TITLE = "kills"
RIGHT = (
    "At each kill a whole checkpoint is there, and the best one; `--resume` resumes from the "
    "newest, and no part of a file is left at the end. The final weights and optimizer state (bit "
    "for bit), the validations, the best checkpoint and the figures are those of a run that was "
    "never stopped."
)
GROUPS = {
    "kills/random": "kills at random moments, four in a run",
    "kills/saving": "kills while a checkpoint is saved, the best one too",
    "kills/best": "kills where the best one takes its name or goes",
    "kills/middle": "kills in the middle of writing a checkpoint",
    "kills/record": "kills while the last one is recorded",
    "kills/validation": "kills during a validation",
    "kills/log": "kills while a log is opened",
    "kills/any": "kills at other moments",
    "kills/end": "kills at the end of a run",
}
SAMPLE = 3  # cases in make test
SLOW = ("kills/random",)  # never among them
RANDOM_RUNS, KILLS_PER_RUN = 25, 4
SIGNALS = (signal.SIGKILL, signal.SIGTERM)
STEP = re.compile(r"(?:iter|epoch)_(\d+)\.pth$")
RESUMED = re.compile(r"resumed epoch: (\d+), iter: (\d+)")
# The places of directed kills, and the share of its moments that is tried.
DIRECTED = dict(saving=0.6, best=1, record=1, validation=1, middle=0.4, log=0.2, any=0.1)
ENDS = 16  # the last moments of a run


def cases(ground: Ground, seed: int) -> list[Case]:
    """List all kills: random ones, directed ones."""
    listed = []
    for number in range(RANDOM_RUNS):
        kind = "det" if number % 8 == 7 else "seg"
        listed.append(Case(f"kills/random-{number:02}", _random_kills(ground, seed, number, kind)))
    counts = Recorder(ground.places).counts()
    chosen = [
        (place, nth)
        for place, share in DIRECTED.items()
        for nth in random.Random(f"{seed} {place}").sample(
            range(counts[place]), round(share * counts[place])
        )
    ]
    last = counts["any"] - ENDS
    for place, nth in sorted({*chosen, *(("any", last + nth) for nth in range(ENDS))}):
        at_the_end = place == "any" and nth >= last
        name = f"kills/{'end' if at_the_end else place}-{nth:03}"
        act = die_in_the_middle if place == "middle" else send(SIGNALS[nth % 3 == 2])
        listed.append(Case(name, _directed_kill(ground, Trap(place, nth, act))))
    return listed


def _random_kills(ground: Ground, seed: int, number: int, kind: str) -> Callable[[Path], int]:
    def attack(folder: Path) -> int:
        chance = random.Random(f"{seed} {number}")
        kills, runs = 0, 0
        while kills < KILLS_PER_RUN:
            runs += 1
            work_dir = folder / f"w{runs}"
            kills += _one_life(ground, kind, work_dir, chance, KILLS_PER_RUN - kills)
        return kills

    return attack


def _one_life(ground: Ground, kind: str, work_dir: Path, chance: random.Random, most: int) -> int:
    """Kill a run and its resumed runs at random moments; tell how often it was hit."""
    argv = ground.train_argv(kind, "--resume", work_dir=work_dir)
    kills, left = 0, 1.0
    while kills < most:
        process = start("train", argv, work_dir.parent)
        sent = chance.choice(SIGNALS)
        moment = chance.uniform(0.05, 1.05) * ground.cpu[kind] * max(left, 0.5)
        while not process.poll(0.002) and process.cpu_seconds() < moment:
            pass
        process.send(sent)
        outcome = process.wait()
        if outcome.status == 0:  # it was faster
            break
        kills += 1
        left = 1 - _judge_kill(outcome, work_dir, kind)
    _end_alike(ground, kind, argv, work_dir)
    return kills


def _directed_kill(ground: Ground, trap: Trap) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        work_dir = folder / "w"
        argv = ground.train_argv("seg", "--resume", work_dir=work_dir)
        outcome = run("train", argv, folder, prepare=trap)
        if outcome.status != 0:
            _judge_kill(outcome, work_dir, "seg")
        _end_alike(ground, "seg", argv, work_dir)

    return attack


def _judge_kill(outcome: Outcome, work_dir: Path, kind: str) -> float:
    """Judge what a kill left; give the share of the run that the newest checkpoint holds."""
    check(not outcome.timed_out, f"the signal does not end it: {outcome}")
    ends = (130, -signal.SIGKILL, -signal.SIGXFSZ, -signal.SIGTERM)
    check(outcome.status in ends, outcome)
    check("Traceback" not in outcome.err, outcome)
    newest = newest_whole(work_dir)
    saved = [int(n) for n in re.findall(r"Saving checkpoint at (\d+) ", outcome.out)]
    if len(saved) > 1:
        check(newest >= saved[-2], f"checkpoint {saved[-2]} is lost: {names(work_dir)}; {outcome}")
    resumed = RESUMED.search(outcome.out)
    if resumed:
        begun = int(resumed[2 if kind == "seg" else 1])
        check(newest >= begun, f"checkpoint {begun} is lost: {names(work_dir)}; {outcome}")
    held = [load(path) for path in work_dir.glob("*.pth") if STEP.match(path.name)]
    if any(c and c["message_hub"]["runtime_info"].get("best_ckpt") for c in held):
        best = [path for path in work_dir.glob("best_*.pth") if load(path) is not None]
        check(best, f"the best checkpoint is lost: {names(work_dir)}; {outcome}")
    return newest / (ITERATIONS if kind == "seg" else EPOCHS)


def newest_whole(work_dir: Path) -> int:
    """Return the step of the newest checkpoint that can be read, or 0."""
    steps = []
    for path in work_dir.glob("*.pth"):
        match = STEP.match(path.name)
        if match and load(path) is not None:
            steps.append(int(match[1]))
    return max(steps, default=0)


def names(work_dir: Path) -> list[str]:
    """List a work directory."""
    return sorted(path.name for path in work_dir.iterdir()) if work_dir.exists() else []


def load(path: Path) -> dict | None:
    """Read a checkpoint as the toolkit does, or None where it is not whole."""
    from convnext_dense.upstream.safe_checkpoint import read_checkpoint

    try:
        return read_checkpoint(path, "cpu")
    except RuntimeError:
        return None


def _end_alike(ground: Ground, kind: str, argv: list[str], work_dir: Path) -> None:
    """Resume to the end, and compare with the run that was never stopped."""
    newest = newest_whole(work_dir)
    done = run("train", argv, work_dir.parent)
    check(done.status == 0, f"resuming fails: {done}")
    if newest:
        resumed = RESUMED.search(done.out)
        begun = resumed and int(resumed[2 if kind == "seg" else 1])
        check(begun == newest, f"it resumes {begun} instead of {newest}: {done}")
    equal_outcome(ground.runs[kind], work_dir)


def equal_outcome(whole: Path, resumed: Path, best: bool = True) -> None:
    """Check that two work directories hold the outcome of the same run.

    Args:
        whole: The work directory of a run that was never stopped.
        resumed: That of the other.
        best: Whether the other has to have the best checkpoint and all validations too, as where it
            was resumed in the folder in which it began.
    """
    kept = [[n for n in names(d) if n.endswith(".pth")] for d in (whole, resumed)]
    if not best:
        kept = [[n for n in found if not n.startswith("best_")] for found in kept]
    check(kept[0] == kept[1], f"checkpoints {kept[1]} instead of {kept[0]}")
    for name in kept[0]:
        one, two = load(whole / name), load(resumed / name)
        check(two is not None, f"{name} is not whole")
        for part in ("state_dict", "optimizer", "param_schedulers"):
            where = difference(one.get(part), two.get(part), part)
            check(not where, f"{name} differs in {where}")
        for key in ("epoch", "iter", "seed"):
            check(one["meta"].get(key) == two["meta"].get(key), f"{name}: meta.{key} differs")
        notes = [c.get("message_hub", {}).get("runtime_info", {}) for c in (one, two)]
        for key in ("best_score", "best_ckpt") if best else ():
            found = [Path(str(note.get(key))).name for note in notes]
            check(found[0] == found[1], f"{name}: {key} is {found[1]} instead of {found[0]}")
    if not best:
        return
    found = [validations(d) for d in (whole, resumed)]
    check(found[0] == found[1], f"validations {found[1]} instead of {found[0]}")
    left = [n for n in names(resumed) if ".part" in n or n.endswith((".tmp", ".lock"))]
    check(not left, f"parts are left: {left}")


def difference(one: object, two: object, where: str) -> str:
    """Return where two nested values differ, compared bit by bit; empty if they are equal."""
    import torch

    if isinstance(one, torch.Tensor):
        return "" if isinstance(two, torch.Tensor) and _same_numbers(one, two) else where
    if isinstance(one, dict):
        if not isinstance(two, dict) or list(one) != list(two):
            return f"the keys of {where}"
        found = (difference(one[key], two[key], f"{where}.{key}") for key in one)
        return next(filter(None, found), "")
    if isinstance(one, list | tuple):
        if len(one) != len(two):
            return f"the length of {where}"
        found = (
            difference(a, b, f"{where}.{i}") for i, (a, b) in enumerate(zip(one, two, strict=True))
        )
        return next(filter(None, found), "")
    return "" if one == two else f"{where} ({one!r}, {two!r})"


def _same_numbers(one: torch.Tensor, two: torch.Tensor) -> bool:
    if one.device != two.device:
        return False
    one, two = one.to_dense().squeeze(), two.to_dense().squeeze()
    if one.dtype != two.dtype and one.is_floating_point() and two.is_floating_point():
        one, two = one.double(), two.double()  # the same in more digits
    return one.dtype == two.dtype and one.equal(two)


def validations(work_dir: Path) -> list[dict]:
    """Read the record of a run's validations, as the report shows it."""
    from convnext_dense.report.run import read_run

    times = ("time", "data_time", "memory")
    return [
        {k: v for k, v in record.items() if k not in times} for record in read_run(work_dir).val
    ]
