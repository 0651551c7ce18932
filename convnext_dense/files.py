"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

# Bytes that file systems allow a name.
LONGEST_NAME = 255

WHOLE = "what was written before is whole"
# A part of another host, whose lock may not be seen from here, is left alone for so long.
OLD = 24 * 3600  # seconds
_HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
_PART = re.compile(r"\.([0-9a-f]{8})-[0-9a-f]{8}\.part")
# A suffix beyond this is no file type, and would make the part's name too long.
_LONGEST_SUFFIX = 32
_cleared: set[str] = set()


class WriteError(OSError):
    """A file that could not be written: one line that names it and what is missing."""


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], way_on: str = WHOLE) -> Iterator[Path]:
    """Yield a path to write to, which takes a file's place in one step where the block succeeds.

    Where it fails, an earlier file of the name stays as it was, and nothing else is left. A process
    that is killed leaves its part, which the next one that writes to the folder clears away.

    What stands there stays in its kind, as under an ordinary ``open``: the file that a symbolic
    link points to is replaced, its mode is kept, and a device is written to directly.

    Args:
        path: The file. Its folder is made where it is missing.
        way_on: Ends the message of a write that fails.

    Yields:
        A path in the same folder, with the same suffix.

    Raises:
        WriteError: Where the file cannot be written.

    Example::

        with replacing("metrics.json") as part:
            part.write_text("{}")
    """
    path = Path(path)
    with _as_write_error(path, way_on):
        mode = _mode(path)
        if mode is not None and not stat.S_ISREG(mode):
            yield path
            return
        target = Path(os.path.realpath(path))
        _make_folder(target.parent)
        with _part_of(target) as part:
            yield part
            if mode is not None:
                part.chmod(stat.S_IMODE(mode))
            _sync(part)
            part.replace(target)
        _sync(target.parent)


@contextlib.contextmanager
def replacing_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a new folder to fill, which takes its name in one step where the block succeeds.

    Where it fails nothing is left. Its files are not on the disk for certain, as :func:`replacing`
    has its own: this is for what can be made again.

    Args:
        path: The folder: missing or empty.

    Yields:
        A folder beside it.

    Raises:
        WriteError: Where it cannot be written.
    """
    path = Path(path)
    with _as_write_error(path, "nothing is left of it"):
        _make_folder(path.absolute().parent)
        with _part_of(path, folder=True) as part:
            yield part
            part.replace(path)


def write_whole(
    path: str | os.PathLike[str], content: str | bytes | memoryview, way_on: str = WHOLE
) -> None:
    """Write a file in one step, with its folder if that is missing: see :func:`replacing`.

    Args:
        path: The file.
        content: All of it; text is written as UTF-8.
        way_on: Ends the message of a write that fails.

    Raises:
        WriteError: Where it cannot be written.
    """
    with replacing(path, way_on) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


def append_line(path: str | os.PathLike[str], line: str) -> None:
    """Append a line to a file, all of it or nothing.

    Args:
        path: The file, made where it is missing. Its folder must be there.
        line: Without the line break.

    Raises:
        WriteError: Where it cannot be written; the lines before stay.
    """
    path = Path(path)
    with _as_write_error(path, WHOLE):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            size = os.fstat(file).st_size
            left = f"{line}\n".encode()
            try:
                while left:
                    left = left[os.write(file, left) :]
            except BaseException:
                os.ftruncate(file, size)
                raise
        finally:
            os.close(file)


def ensure_writable(path: str | os.PathLike[str]) -> None:
    """Refuse a file that could not be written, before the work whose result it is to take.

    Args:
        path: The file. Its folder is made where it is missing; the file itself stays as it is.

    Raises:
        WriteError: As :func:`replacing` would.
    """
    path = Path(path)
    with _as_write_error(path, WHOLE):
        mode = _mode(path)
        if mode is None or stat.S_ISREG(mode):
            target = Path(os.path.realpath(path))
            _make_folder(target.parent)
            with _part_of(target):
                pass  # deleted, since it is not moved


def ensure_folder(folder: str | os.PathLike[str]) -> None:
    """Make a folder where it is missing, and refuse one in which no file can be written.

    Raises:
        WriteError: Naming the folder and what is missing.
    """
    folder = Path(folder)
    with _as_write_error(folder, WHOLE):
        _make_folder(folder)
        with _part_of(folder / "file"):
            pass  # deleted, since it is not moved


def is_part(path: Path) -> bool:
    """Whether a file is one that :func:`replacing` has not finished, and nobody should read."""
    return _PART.match(path.name) is not None


def clear_parts(folder: str | os.PathLike[str]) -> list[Path]:
    """Delete the parts that killed processes left in a folder, and in no folder below it.

    A part whose writer lives is left alone, and one of another host until it is a day old.

    Returns:
        What was deleted.
    """
    cleared = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        parts = [path for path in (Path(entry.path) for entry in entries) if is_part(path)]
        for part in parts:
            # Another process may be clearing too.
            with contextlib.suppress(OSError):
                lock = os.open(part, os.O_RDONLY)
                try:
                    if _is_abandoned(part, lock):
                        _delete(part)
                        cleared.append(part)
                finally:
                    os.close(lock)
    return cleared


def _mode(path: Path) -> int | None:
    """Return the mode of what stands at a path, or None; refuse what ``open`` would refuse."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if stat.S_ISREG(mode):
        os.close(os.open(path, os.O_WRONLY))
    return mode


def _make_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if str(folder) not in _cleared:
        _cleared.add(str(folder))
        clear_parts(folder)


@contextlib.contextmanager
def _part_of(target: Path, *, folder: bool = False) -> Iterator[Path]:
    """Make an empty part, locked as long as it is written, and delete it where it was not moved."""
    # In the same folder, since only within one file system is a rename a single step.
    suffix = target.suffix if len(os.fsencode(target.suffix)) <= _LONGEST_SUFFIX else ""
    while True:
        part = target.with_name(f".{_HOST}-{secrets.token_hex(4)}.part{suffix}")
        if folder:
            part.mkdir()
        lock = os.open(part, os.O_RDONLY if folder else os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(lock, fcntl.LOCK_EX)
            # Until it was locked, another process could take it for abandoned.
            if part.exists():
                yield part
                return
        finally:
            _delete(part)
            os.close(lock)


def _delete(part: Path) -> None:
    if part.is_dir():
        shutil.rmtree(part, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            part.unlink()


def _is_abandoned(part: Path, lock: int) -> bool:
    found = _PART.match(part.name)
    if found and found[1] == _HOST:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            return False
        except OSError:
            pass  # a file system without locks
    return time.time() - os.fstat(lock).st_mtime > OLD


def _sync(path: Path) -> None:
    """Have a file or folder on the disk before anything that rests on it."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    except OSError as error:
        # Some network file systems cannot do it for folders.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(file)


@contextlib.contextmanager
def _as_write_error(path: Path, way_on: str) -> Iterator[None]:
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        raise write_error(path, error, way_on) from error


def write_error(path: str | os.PathLike[str], error: OSError, way_on: str = WHOLE) -> WriteError:
    """Return the error of a write that failed, which says in one line what is missing.

    Args:
        path: The file or folder.
        error: What the system said.
        way_on: Ends the message.
    """
    path = Path(path)
    reason = error.strerror or str(error)
    if error.errno == errno.EISDIR:
        reason = "it is a folder"
    elif error.errno in (errno.EEXIST, errno.ENOTDIR):
        blocking = [place for place in (path, *path.absolute().parents) if place.is_file()]
        reason = f"{blocking[-1]} is a file and no folder" if blocking else reason
    elif error.errno == errno.ENOENT:
        gone = [folder for folder in path.absolute().parents if not folder.exists()]
        reason = f"the folder {gone[-1]} is gone" if gone else reason
    failure = WriteError(f"could not write {path}: {reason}; {way_on}")
    failure.errno = error.errno
    return failure


def path_inside(folder: str | os.PathLike[str], name: str) -> Path:
    """Return the path of a file below a folder, for a name that comes from data.

    Args:
        folder: Where to write. It need not exist.
        name: A path relative to it, with ``/`` between its parts.

    Raises:
        ValueError: Where the name is empty, absolute or not a name of a file, has ``..`` among its
            parts, or leads out of the folder by a symbolic link; or where what has that name is
            not a file.
    """
    path, windows = Path(folder, name), PureWindowsPath(name)  # which knows both separators
    if path == Path(folder) or "\0" in name:
        raise ValueError(f"{name!r} is not a name of a file, to write in {folder}")
    if windows.root or ".." in windows.parts:
        raise ValueError(f"{name!r} leads out of {folder}: write names relative and without '..'")
    try:
        longest = max(len(os.fsencode(part)) for part in Path(name).parts)
    except UnicodeEncodeError:
        raise ValueError(f"{name!r} is not a name of a file: it is not valid Unicode") from None
    if longest > LONGEST_NAME:
        raise ValueError(f"{name!r} is too long for a file: {LONGEST_NAME} bytes are allowed")
    # A writer follows links; realpath ends at one that leads in a circle.
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise ValueError(f"{path} leads out of {folder} by a symbolic link: delete that link")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is not a file: delete it or choose another folder")
    return path
