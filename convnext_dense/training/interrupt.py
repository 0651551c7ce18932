"""Ctrl-C and the signals of a scheduler end a run alike, and say how to go on."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from convnext_dense.checkpoints.latest import latest_checkpoint

# A cluster warns of the end of a job's time by one of them, a terminal that closes by SIGHUP.
HANDLED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
AGAIN = 5  # seconds
Handler = Callable[[int, FrameType | None], object] | int | None


@contextlib.contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGTERM, SIGHUP and SIGUSR1, as on Ctrl-C, in the context.

    Schedulers and ``torchrun`` end their processes by signals; as an exception it lets files being
    written be cleared away. A signal that is ignored stays ignored, such as SIGHUP under ``nohup``.
    In another thread than the main one nothing is changed, as Python demands of signal handlers.

    An interrupt can get lost in the body. Where a ``__del__`` ignores it, such as that of a
    loader's iterator, it is raised again after seconds. Where it became another error, as in the
    bare ``except`` around mmengine's formatting of configs, it is one again on leaving the context.

    Every handler is put back on leaving, that of SIGCHLD too.

    Raises:
        KeyboardInterrupt: On one of the signals, in the body.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, Handler] = {}

    def handle(number: int, handler: Handler) -> None:
        # None stands for a handler that Python did not set, and cannot put back.
        if number not in before and signal.getsignal(number) is not None:
            before[number] = signal.signal(number, handler)

    def interrupt(signum: int, frame: FrameType | None) -> None:
        # Loader workers that got the signal too are gone, which torch would raise as an error.
        handle(signal.SIGCHLD, signal.SIG_DFL)
        handle(signal.SIGALRM, interrupt)
        signal.alarm(AGAIN)
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
    """Return in one line what an interrupted run leaves behind, and how to go on.

    Args:
        work_dir: The run's folder.
        command: The command line that resumes the newest checkpoint of this folder.
        out_dir: Where its checkpoints lie, if not there.

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
