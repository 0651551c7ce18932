"""Ctrl-C and SIGTERM end a run alike, and say how to go on."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from mmengine.runner import find_latest_checkpoint


@contextlib.contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGTERM, as on Ctrl-C, while the context lasts.

    Main thread only, as Python demands of signal handlers. Schedulers and ``torchrun`` end their
    processes by SIGTERM; as an exception it lets files being written be cleared away.

    Raises:
        KeyboardInterrupt: On SIGTERM, in the body.
    """

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def how_to_resume(work_dir: str | Path, command: str) -> str:
    """Say in one line what an interrupted run leaves behind, and how to go on.

    Args:
        work_dir: The run's folder.
        command: The command line that resumes the newest checkpoint of this folder.

    Example:
        >>> how_to_resume("no/such/folder", "tools/train.py CONFIG --resume")
        'interrupted before the first checkpoint of no/such/folder; nothing to resume'
    """
    # Asked first, since mmengine's lookup prints where there is none.
    listed = (Path(work_dir) / "last_checkpoint").is_file()
    last = find_latest_checkpoint(str(work_dir)) if listed else None
    if not last or not Path(last).is_file():
        return f"interrupted before the first checkpoint of {work_dir}; nothing to resume"
    return f"interrupted; {last} is whole. Go on with: {command}"
