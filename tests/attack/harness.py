"""Runs the real tools in forked children, kills and limits them, and judges cases side by side.

One process imports torch, mmdet, mmseg and the package once. It computes nothing itself, so that it
has no threads and can be forked: once for every case, and there once for every call of a tool. A
tool then starts in no time, and runs as ``python tools/NAME.py`` would: its own process group,
working directory, standard streams and limits.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import runpy
import select
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

ROOT = Path(__file__).parents[2]
SECONDS = 60  # a tool that takes longer on these inputs hangs
CASE_SECONDS = 600


class Wrong(AssertionError):
    """The toolkit did not do what it promises."""


class Skipped(Exception):
    """The machine lacks what an attack needs."""


@dataclass(frozen=True)
class Case:
    """One attack.

    Attributes:
        name: ``kind/what``, by which it runs alone.
        attack: Takes an empty folder; raises :class:`Wrong`. May return how many attacks it made,
            where these are more than one.
    """

    name: str
    attack: Callable[[Path], int | None]


@dataclass(frozen=True)
class Result:
    """What came of a case.

    Attributes:
        name: Of the case.
        tried: Attacks made.
        wrong: What was wrong, or nothing.
        skipped: Why it could not be tried, or nothing.
        seconds: Wall time.
    """

    name: str
    tried: int = 1
    wrong: str = ""
    skipped: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """How a tool ended.

    Attributes:
        status: Exit status, or minus the signal that ended it.
        out: What it wrote to stdout.
        err: What it wrote to stderr.
        seconds: Wall time.
        timed_out: Whether it was killed because it took too long.
    """

    status: int
    out: str
    err: str
    seconds: float
    timed_out: bool = False

    def __str__(self) -> str:
        took = f"hung for {self.seconds:.0f} s" if self.timed_out else f"ended by {self.status}"
        lines = [line for line in self.err.splitlines() if "arn" not in line]
        return (
            f"{took}; stdout ends {self.out[-500:]!r}; stderr ends {chr(10).join(lines)[-2000:]!r}"
        )


def preload() -> None:
    """Import what the tools import, on one thread."""
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="")
    sys.path.insert(0, str(ROOT))
    import torch

    import convnext_dense  # noqa: F401  first, since it makes mmdet importable

    torch.set_num_threads(1)
    import cv2
    import mmengine.config.config
    import mmseg.apis
    import mmseg.datasets
    import mmseg.evaluation  # noqa: F401

    cv2.setNumThreads(0)
    # Laying a config out takes most of the time of a short run.
    mmengine.config.config.FormatCode = lambda text, **_: (text, True)


class Process:
    """A forked child that runs a function, in a process group of its own.

    Args:
        call: What it runs; returns the exit status.
        cwd: Where.
        keep: Files of this process that stay open in the child.
    """

    all: ClassVar[list[Process]] = []

    def __init__(self, call: Callable[[], int | None], cwd: Path, keep: Sequence[int] = ()) -> None:
        self._started = time.monotonic()
        sys.stdout.flush()
        sys.stderr.flush()
        # Pipes, which no limit on files concerns, large enough to be read now and then.
        pipes = [os.pipe(), os.pipe()]
        for _, end in pipes:
            fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, 2**20)
        self.pid = os.fork()
        if self.pid == 0:
            _become(call, cwd, [end for _, end in pipes], keep)
        for begin, end in pipes:
            os.close(end)
            os.set_blocking(begin, False)
        self._pipes = {begin: b"" for begin, _ in pipes}
        self._fd = os.pidfd_open(self.pid)
        self._status: int | None = None
        self.all.append(self)

    def cpu_seconds(self) -> float:
        """CPU time so far; that of a process which has ended is 0."""
        try:
            return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[0]) / 1e9
        except (OSError, IndexError, ValueError):
            return 0.0

    def said(self) -> tuple[str, str]:
        """Read what it wrote so far to stdout and stderr."""
        for pipe in self._pipes:
            with contextlib.suppress(BlockingIOError):
                while more := os.read(pipe, 2**16):
                    self._pipes[pipe] += more
        return tuple(text.decode(errors="replace") for text in self._pipes.values())

    def poll(self, seconds: float = 0.0) -> bool:
        """Wait at most so long; tell whether it has ended."""
        end = time.monotonic() + seconds
        while self._status is None:
            left = end - time.monotonic()
            if select.select([self._fd], [], [], min(max(0.0, left), 0.1))[0]:
                self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            elif left <= 0:
                break
            self.said()
        return self._status is not None

    def wait(self, seconds: float = SECONDS) -> Outcome:
        """Wait for its end, and kill it where it takes longer."""
        ended = self.poll(seconds)
        took = time.monotonic() - self._started
        with contextlib.suppress(ProcessLookupError):  # what it left behind, too
            os.killpg(self.pid, signal.SIGKILL)
        self.poll(SECONDS)
        out, err = self.said()
        for fd in (self._fd, *self._pipes):
            os.close(fd)
        return Outcome(self._status or 0, out, err, took, timed_out=not ended)

    def send(self, number: int) -> None:
        """Send it a signal, if it is still there."""
        if not self.poll():
            os.kill(self.pid, number)


def _become(
    call: Callable[[], int | None], cwd: Path, ends: Sequence[int], keep: Sequence[int]
) -> None:
    """Turn a forked child into the process of a call; never returns."""
    status = 1
    try:
        os.setsid()
        for number, end in zip((1, 2), ends, strict=True):
            os.dup2(end, number)
        for number in set(range(3, 256)) - set(keep):
            with contextlib.suppress(OSError):
                os.close(number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
        os.chdir(cwd)
        status = call() or 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def start(
    tool: str,
    argv: Sequence[object],
    cwd: Path,
    *,
    prepare: Callable[[], None] | None = None,
    env: dict[str, str] | None = None,
) -> Process:
    """Start ``python tools/TOOL.py ARGV``.

    Args:
        tool: The name.
        argv: Its arguments.
        cwd: Where it runs.
        prepare: Called in the child before the tool, to set limits or traps.
        env: Added to the environment.
    """
    script = str(ROOT / "tools" / f"{tool}.py")

    def call() -> None:
        os.environ.update(env or {})
        sys.argv = [script, *map(str, argv)]
        if prepare:
            prepare()
        runpy.run_path(script, run_name="__main__")

    return Process(call, cwd)


def run(tool: str, argv: Sequence[object], cwd: Path, seconds: float = SECONDS, **more: object):
    """Run a tool to its end: see :func:`start`."""
    return start(tool, argv, cwd, **more).wait(seconds)


@dataclass
class _Running:
    case: Case
    pid: int
    folder: Path
    started: float = field(default_factory=time.monotonic)


def run_cases(cases: Sequence[Case], folder: Path, jobs: int) -> Iterator[Result]:
    """Run cases, each in a child and a folder of its own.

    Args:
        cases: In the order in which they start.
        folder: Theirs are made in it, and removed.
        jobs: How many run at once.

    Yields:
        Results, as the cases end.
    """
    waiting, running = list(reversed(cases)), {}
    while waiting or running:
        while waiting and len(running) < jobs:
            begun = _begin(waiting.pop(), folder)
            running[begun.pid] = begun
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid in running:
            yield _finish(running.pop(pid), status)
            continue
        time.sleep(0.005)
        for begun in list(running.values()):
            if time.monotonic() - begun.started > CASE_SECONDS:
                os.kill(begun.pid, signal.SIGKILL)


def _begin(case: Case, parent: Path) -> _Running:
    folder = parent / case.name.replace("/", "-")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "at").mkdir(parents=True)
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        result = dict(tried=1)
        try:
            os.setsid()
            result["tried"] = case.attack(folder / "at") or 1
        except Wrong as error:
            result["wrong"] = str(error) or "wrong"
        except Skipped as error:
            result["skipped"] = str(error)
        except BaseException:
            result["wrong"] = f"the attack itself failed: {traceback.format_exc()}"
        finally:
            for process in Process.all:  # where the case ended before they did
                if not process.poll():
                    process.wait(0)
            with contextlib.suppress(BaseException):
                (folder / "result.json").write_text(json.dumps(result))
            os._exit(0)
    return _Running(case, pid, folder)


def _finish(begun: _Running, status: int) -> Result:
    seconds = time.monotonic() - begun.started
    file = begun.folder / "result.json"
    found = dict(wrong=f"the case died of status {status}, or took over {CASE_SECONDS} s")
    if file.is_file():
        found = json.loads(file.read_text())
    for path in begun.folder.rglob("*"):  # an attack may have taken its own rights away
        if path.is_dir() and not path.is_symlink():
            with contextlib.suppress(OSError):
                path.chmod(0o755)
    shutil.rmtree(begun.folder, ignore_errors=True)
    return Result(begun.case.name, seconds=seconds, **found)


def check(condition: object, message: object) -> None:
    """Raise :class:`Wrong` unless the condition holds."""
    if not condition:
        raise Wrong(str(message))
