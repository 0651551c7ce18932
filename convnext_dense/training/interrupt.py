"""Ctrl-C and SIGTERM end a run alike, and say how to go on."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from convnext_dense.training.own_checkpoints import latest_checkpoint

HANDLED = (signal.SIGTERM, signal.SIGALRM)
AGAIN = 5  # seconds


@contextlib.contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGTERM, as on Ctrl-C, while the context lasts.

    Main thread only, as Python demands of signal handlers. Schedulers and ``torchrun`` end their
    processes by SIGTERM; as an exception it lets files being written be cleared away.

    An interrupt can get lost in the body. Where a ``__del__`` ignores it, such as that of a
    loader's iterator, it is raised again after seconds. Where it became another error, as in the
    bare ``except`` around mmengine's formatting of configs, it is one again on leaving the context.

    Raises:
        KeyboardInterrupt: On SIGTERM, in the body.
    """

    def interrupt(signum: int, frame: FrameType | None) -> None:
        # Loader workers that got the signal too are gone, which torch would raise as an error.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.alarm(AGAIN)
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in HANDLED}
    try:
        yield
    except Exception as error:
        if _is_interrupt(error):
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.alarm(0)
        for number, handler in previous.items():
            signal.signal(number, handler)


def _is_interrupt(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def how_to_resume(work_dir: str | Path, command: str) -> str:
    """Say in one line what an interrupted run leaves behind, and how to go on.

    Args:
        work_dir: The run's folder.
        command: The command line that resumes the newest checkpoint of this folder.

    Example:
        >>> how_to_resume("no/such/folder", "tools/train.py CONFIG --resume")
        'interrupted before the first checkpoint of no/such/folder; nothing to resume'
    """
    last = latest_checkpoint(work_dir)
    if not last or not Path(last).exists():
        return f"interrupted before the first checkpoint of {work_dir}; nothing to resume"
    return f"interrupted; {last} is whole. Go on with: {command}"
