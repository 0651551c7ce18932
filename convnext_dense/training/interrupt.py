"""End a run by a scheduler's signals as by Ctrl-C, and say how to resume it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from convnext_dense.checkpoints.latest import latest_checkpoint

# A cluster sends SIGTERM or SIGUSR1 before a job's time ends, a terminal that closes sends SIGHUP.
HANDLED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
REPEAT_AFTER = 5  # seconds
Handler = Callable[[int, FrameType | None], object] | int | None


@contextlib.contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGTERM, SIGHUP and SIGUSR1, as on Ctrl-C, inside the context.

    Schedulers and ``torchrun`` end their processes by signals. An exception makes it possible to
    delete half-written files. A signal that is ignored stays ignored, such as SIGHUP under
    ``nohup``. In another thread than the main one nothing changes, since Python allows signal
    handlers only there.

    An interrupt can be lost in the body. If a ``__del__`` ignores it, such as that of a loader's
    iterator, it is raised again after :data:`REPEAT_AFTER` seconds. If it was turned into another
    error, as by the bare ``except`` around mmengine's formatting of configs, it is turned back at
    the end of the context.

    All handlers are restored at the end, also that of SIGCHLD.

    Raises:
        KeyboardInterrupt: On one of the signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, Handler] = {}

    def handle(number: int, handler: Handler) -> None:
        # None means a handler that was not set by Python, which cannot restore it.
        if number not in before and signal.getsignal(number) is not None:
            before[number] = signal.signal(number, handler)

    def interrupt(signum: int, frame: FrameType | None) -> None:
        # Loader workers that also got the signal have ended; torch would raise an error for that.
        handle(signal.SIGCHLD, signal.SIG_DFL)
        handle(signal.SIGALRM, interrupt)
        signal.alarm(REPEAT_AFTER)
        raise KeyboardInterrupt

    for number in HANDLED:
        if signal.getsignal(number) is not signal.SIG_IGN:
            handle(number, interrupt)
    try:
        yield
    except Exception as error:
        if _is_interrupt(error):
            raise KeyboardInterrupt from error
        raise
    finally:
        if signal.SIGALRM in before:
            signal.alarm(0)
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _is_interrupt(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def how_to_resume(work_dir: str | Path, command: str, out_dir: str | Path | None = None) -> str:
    """Return a line about the last checkpoint of an interrupted run, and how to resume it.

    Args:
        work_dir: The run's folder.
        command: The command line that resumes the newest checkpoint in this folder.
        out_dir: The folder of the checkpoints, if it is another one.

    Example:
        >>> how_to_resume("no/such/folder", "sh go_on.sh")
        'interrupted before the first checkpoint of no/such/folder; nothing to resume'
    """
    try:
        last = latest_checkpoint(work_dir, out_dir)
    except RuntimeError as error:
        return f"interrupted; {error}"
    if last is None:
        return f"interrupted before the first checkpoint of {work_dir}; nothing to resume"
    return f"interrupted; {last} is whole. Go on with: {command}"
