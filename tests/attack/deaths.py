"""Deaths beside a run: of data loader workers, of ranks, of the launcher."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ground import Ground
from harness import ROOT, Case, check, start
from judges import refused, succeeded
from kills import equal_outcome, newest_whole
from traps import Trap

TITLE = "deaths of workers and ranks"
RIGHT = (
    "A dead worker ends the run in one line; a dead or stopped rank ends the whole job within the "
    "stated time, with its name; no process outlives its launcher; no checkpoint is lost, and "
    "`--resume`, by hand or by `--max-restarts`, continues to the weights of a job that was never "
    "stopped."
)
SAMPLE = 1  # cases in make test
SLOW = ("deaths/rank", "deaths/launcher", "deaths/restart", "deaths/taken")  # never among them
WORKERS = 6
WITHIN = 60.0  # seconds that a job takes to end, where no rank is stopped
WITHIN_STOPPED = 240.0  # of which the documented silence takes 180
OPTIONS = ("--cfg-options", "train_dataloader.num_workers=2")


def cases(ground: Ground, seed: int) -> list[Case]:
    """List all cases."""
    listed = []
    for nth in range(WORKERS):
        sent = (signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM)[nth % 3]
        listed.append(Case(f"deaths/worker-{nth}", _worker(ground, sent, 25 + 12 * nth)))
    listed.append(Case("deaths/workers-outlive-nobody", _orphans(ground)))
    for rank in (0, 1):
        for number in (signal.SIGKILL, signal.SIGTERM):
            name = f"deaths/rank-{rank}-{number.name}"
            listed.append(Case(name, _rank(ground, rank, number)))
    listed.append(Case("deaths/rank-1-SIGSTOP", _stopped_rank(ground)))
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP):
        listed.append(Case(f"deaths/launcher-{number.name}", _launcher(ground, number)))
    listed.append(Case("deaths/restart", _restart(ground)))
    listed.append(Case("deaths/taken-port", _taken_port(ground)))
    return listed


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in text.split()]


def _descendants(pid: int) -> list[int]:
    direct = _children(pid)
    return direct + [found for child in direct for found in _descendants(child)]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _all_gone(pids: list[int], seconds: float) -> list[int]:
    """Wait for processes to end; give those that do not."""
    end = time.monotonic() + seconds
    while any(map(_alive, pids)) and time.monotonic() < end:
        time.sleep(0.05)
    return [pid for pid in pids if _alive(pid)]


def _worker(ground: Ground, number: int, place: int) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        work_dir = folder / "w"
        argv = ground.train_argv("seg", "--resume", *OPTIONS, work_dir=work_dir)

        def kill_one() -> None:
            for child in _children(os.getpid())[:1]:
                os.kill(child, number)

        outcome = start("train", argv, folder, prepare=Trap("any", place, kill_one)).wait()
        # One that dies while a loader lets go of it does no harm: what counts is the outcome.
        check(not outcome.timed_out, f"it hangs: {outcome}")
        if outcome.status:
            refused(outcome, "worker")
        succeeded(start("train", argv, folder).wait())
        whole = ground.train_argv("seg", *OPTIONS, work_dir=folder / "whole")
        succeeded(start("train", whole, folder).wait())
        equal_outcome(folder / "whole", work_dir)

    return attack


def _orphans(ground: Ground) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        argv = ground.train_argv("seg", *OPTIONS, work_dir=folder / "w")
        process = start("train", argv, folder)
        workers: list[int] = []
        while not workers and not process.poll(0.005):
            workers = _descendants(process.pid)
        process.send(signal.SIGKILL)
        check(not (left := _all_gone(workers, 20)), f"workers outlive their run: {left}")
        process.wait()

    return attack


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Job:
    """Two ranks on this machine, as a user starts them: ``tools/dist_train.sh``.

    Args:
        ground: Data and config.
        folder: Gets the work directory and what the job says.
        env: Added to the environment.
        iterations: How long it trains.
    """

    def __init__(
        self, ground: Ground, folder: Path, env: dict | None = None, iterations: int = 24
    ) -> None:
        self.work_dir = folder / "w"
        self.said = folder / "said.txt"
        length = ("--cfg-options", f"train_cfg.max_iters={iterations}")
        config, *argv = ground.train_argv("seg", "--resume", *length, work_dir=self.work_dir)
        own = dict(PORT=str(_free_port()), PYTHON=sys.executable, OMP_NUM_THREADS="1")
        with self.said.open("ab") as said:
            self.process = subprocess.Popen(
                ["bash", ROOT / "tools" / "dist_train.sh", config, "2", *argv],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=folder,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": str(ROOT), **own, **(env or {})},
            )
        self.seen: set[int] = set()

    def ranks(self) -> list[int]:
        """Find the processes of the two ranks, in their order."""
        found = {}
        for pid in _descendants(self.process.pid):
            self.seen.add(pid)
            try:
                env = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            for rank in (b"0", b"1"):
                if b"RANK=" + rank in env and b"train.py" in command and rank not in found:
                    found[rank] = pid
        return [found[rank] for rank in sorted(found)]

    def until_saved(self, step: int = 2, seconds: float = 120) -> list[int]:
        """Wait for a checkpoint; give the ranks."""
        end = time.monotonic() + seconds
        while newest_whole(self.work_dir) < step:
            check(self.process.poll() is None, f"the job ends early: {self.text()}")
            check(time.monotonic() < end, f"the job hangs: {self.text()}")
            time.sleep(0.1)
        return self.ranks()

    def text(self) -> str:
        """What the job said."""
        return self.said.read_text(errors="replace")[-4000:]

    def wait(self, seconds: float) -> int:
        """Wait for its end, and for that of all its processes."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            check(False, f"the job does not end within {seconds} s: {self.text()}")
        left = _all_gone(sorted(self.seen), 20)
        check(not left, f"processes {left} outlive the job: {self.text()}")
        return status

    def end(self) -> None:
        """Leave nothing."""
        for pid in {self.process.pid, *self.seen, *self.ranks()}:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait(20)


@contextmanager
def _job(ground: Ground, folder: Path, env: dict | None = None, **more: int) -> Iterator[Job]:
    job = Job(ground, folder, env, **more)
    try:
        yield job
    finally:
        job.end()


def _goes_on(ground: Ground, folder: Path, newest: int) -> None:
    with _job(ground, folder) as job:
        check(job.wait(200) == 0, f"the job cannot go on: {job.text()}")
        check(f"iter: {newest}" in job.said.read_text(), f"it does not resume: {job.text()}")


def _rank(ground: Ground, rank: int, number: int) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        with _job(ground, folder) as job:
            ranks = job.until_saved()
            os.kill(ranks[rank], number)
            status = job.wait(WITHIN)
            check(status != 0 or newest_whole(job.work_dir) == 24, f"it ends well: {job.text()}")
            newest = newest_whole(job.work_dir)
            check(newest >= 2, f"checkpoint lost: {job.text()}")
        _goes_on(ground, folder, newest)

    return attack


def _stopped_rank(ground: Ground) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        with _job(ground, folder, iterations=10**6) as job:
            ranks = job.until_saved()
            os.kill(ranks[1], signal.SIGSTOP)
            status = job.wait(WITHIN_STOPPED)
            check(status != 0, f"it ends well: {job.text()}")
            check(re.search(r"rank 1\b", job.text()), f"it does not name the rank: {job.text()}")

    return attack


def _launcher(ground: Ground, number: int) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        with _job(ground, folder, iterations=10**6) as job:  # it does not end by itself
            ranks = job.until_saved()
            os.kill(job.process.pid, number)
            left = _all_gone(ranks, WITHIN)
            check(not left, f"ranks {left} outlive their launcher: {job.text()}")
            check(newest_whole(job.work_dir) >= 2, "checkpoint lost")

    return attack


def _restart(ground: Ground) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        with _job(ground, folder, dict(MAX_RESTARTS="2")) as job:
            ranks = job.until_saved()
            os.kill(ranks[1], signal.SIGKILL)
            check(job.wait(200) == 0, f"it does not restart: {job.text()}")
            check(newest_whole(job.work_dir) == 24, f"it ends before its end: {job.text()}")

    return attack


def _taken_port(ground: Ground) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            with _job(ground, folder, dict(PORT=port)) as job:
                check(job.wait(WITHIN) != 0, "it takes a port that is taken")
                check(port in job.text(), f"it does not name the port: {job.text()}")
                check("PORT=" in job.text(), f"it does not say what to do: {job.text()}")
                check("Traceback" not in job.text(), job.text())

    return attack
