"""Lock a work directory, so that only one training runs in it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from mmengine.logging import print_log

from convnext_dense.files import as_write_error, clear_parts, ensure_folder

LOCK_FILE = "run.lock"
# A run renews its lock's time every BEAT seconds. On another host it counts as dead after STALE.
BEAT = 20
STALE = 120
# The locks of this process: the system would grant the same process its lock a second time.
_held: dict[str, dict] = {}


class WorkDirInUseError(RuntimeError):
    """Another run is training in the work directory."""


@contextlib.contextmanager
def lock_work_dir(work_dir: str | Path) -> Iterator[None]:
    """Lock a work directory for one run, until the block ends or the process dies.

    The file ``run.lock`` in it says which process trains there and since when. It is locked by
    ``fcntl``, and its modification time is renewed as a sign of life. On one machine the lock
    decides, since a killed process loses it. Another machine may not see the lock: there, a run
    counts as alive until its file has not changed for :data:`STALE` seconds. This function waits
    for that long.

    Half-written files of killed processes in the directory and below are deleted. Reading the
    directory, or writing the figures of a test to it, needs no lock.

    Args:
        work_dir: Created if it is missing, and removed at the end if nothing was written to it.

    Raises:
        WorkDirInUseError: If another run has it; the message names that run.
        WriteError: If no file could be written there.
    """
    folder = Path(os.path.realpath(work_dir))
    is_new = not folder.exists()
    ensure_folder(folder)
    path = folder / LOCK_FILE
    file, is_locked = _open(path, work_dir)
    ended = threading.Event()
    try:
        _refuse_unseen(file, is_locked, folder, work_dir)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        about = dict(host=socket.gethostname(), process=os.getpid(), since=since)
        with as_write_error(path):
            os.ftruncate(file, 0)
            os.pwrite(file, json.dumps(about).encode(), 0)
        _held[str(path)] = about
        for below, _, _ in os.walk(folder):
            clear_parts(below)  # no other run is writing to these folders
        beats = threading.Thread(target=_beat, args=(file, ended), name=LOCK_FILE, daemon=True)
        beats.start()
        try:
            yield
        finally:
            ended.set()
            beats.join()
            with contextlib.suppress(OSError):
                path.unlink()
                if is_new:
                    folder.rmdir()
    finally:
        _held.pop(str(path), None)
        os.close(file)


def _open(path: Path, work_dir: str | Path) -> tuple[int, bool]:
    """Open and lock the file; refuse if another run on this machine has locked it."""
    if str(path) in _held:
        raise _in_use(work_dir, _held[str(path)])
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            # Not flock: a loader's workers would still hold it after the run is killed.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            about = _read(file)
            os.close(file)
            raise _in_use(work_dir, about) from None
        except OSError:
            return file, False  # a file system without locks
        # A run that ends deletes its file, which may be this one.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(path.stat(), os.fstat(file)):
                return file, True
        os.close(file)


def _refuse_unseen(file: int, is_locked: bool, folder: Path, work_dir: str | Path) -> None:
    """Refuse if a run is alive whose lock is not visible from here."""
    about = _read(file)
    if not about or (is_locked and about["host"] == socket.gethostname()):
        return
    last_sign = os.fstat(file).st_mtime
    # By the clock of the file system, which is the same for both machines.
    with tempfile.TemporaryFile(dir=folder) as now:
        silent = abs(os.fstat(now.fileno()).st_mtime - last_sign)
    if silent < STALE:
        print_log(
            f"{work_dir} was in use by process {about['process']} on {about['host']} {silent:.0f} "
            f"s ago: waiting up to {STALE - silent:.0f} s for a sign of life"
        )
    end = time.monotonic() + STALE - silent
    while time.monotonic() < end:
        if os.fstat(file).st_mtime != last_sign:
            raise _in_use(work_dir, about)
        time.sleep(min(1, STALE / 10))


def _read(file: int) -> dict:
    # Not by a second descriptor: closing that would release the lock.
    try:
        about = json.loads(os.pread(file, 4096, 0))
    except ValueError:
        return {}
    return about if isinstance(about, dict) and {"host", "process", "since"} <= set(about) else {}


def _in_use(work_dir: str | Path, about: dict) -> WorkDirInUseError:
    who = "another run"
    if about:
        who = f"process {about['process']} on {about['host']}, since {about['since']}"
    return WorkDirInUseError(
        f"{work_dir} is in use by {who}: wait until that run has ended, or choose another work_dir"
    )


def _beat(file: int, ended: threading.Event) -> None:
    while not ended.wait(BEAT):
        with contextlib.suppress(OSError):
            os.utime(file)
