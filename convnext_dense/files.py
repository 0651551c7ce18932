"""Write files completely or not at all."""

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
# The age at which an unfinished file of another host is deleted, since its lock may be invisible.
OLD = 24 * 3600  # seconds
_HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
_PART = re.compile(r"\.([0-9a-f]{8})-[0-9a-f]{8}\.part")
# A longer suffix is not a file type, and would make the name of the unfinished file too long.
_LONGEST_SUFFIX = 32
_cleared: set[str] = set()


class WriteError(OSError):
    """A file could not be written; the message is one line with the path and the reason."""


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], remedy: str = WHOLE) -> Iterator[Path]:
    """Yield a path to write to, which replaces the file in one step when the block succeeds.

    If the block fails, an earlier file stays unchanged, and nothing else is left. A killed process
    leaves an unfinished file, which the next process that writes to the folder deletes.

    As with ``open``, the target of a symbolic link is replaced, not the link; the file's mode is
    kept, and a device is written to directly.

    Args:
        path: The file. Its folder is made if it is missing.
        remedy: End of the message if writing fails.

    Yields:
        A path in the same folder, with the same suffix.

    Raises:
        WriteError: If the file could not be written.

    Example::

        with replacing("metrics.json") as part:
            part.write_text("{}")
    """
    path = Path(path)
    with as_write_error(path, remedy):
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
    """Yield a new folder to fill, which gets its name in one step when the block succeeds.

    If the block fails, nothing is left. Unlike :func:`replacing` this does not wait until the files
    are on the disk, so use it for data that can be made again.

    Args:
        path: The folder, which must be missing or empty.

    Yields:
        A folder beside it.

    Raises:
        WriteError: If it could not be written.
    """
    path = Path(path)
    with as_write_error(path, "nothing is left of it"):
        _make_folder(path.absolute().parent)
        with _part_of(path, folder=True) as part:
            yield part
            part.replace(path)


@contextlib.contextmanager
def unfinished_folder(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a new folder for files of a piece of work, which is deleted at its end.

    A killed process leaves it to the next one that writes to the folder, see :func:`replacing`.

    Args:
        folder: Where it is made; it is made too if it is missing.

    Raises:
        WriteError: If it could not be made, or if the block cannot write a file.
    """
    folder = Path(folder)
    with as_write_error(folder, "nothing is left of it"):
        _make_folder(folder)
        with _part_of(folder / "work", folder=True) as part:
            yield part


def write_whole(
    path: str | os.PathLike[str], content: str | bytes | memoryview, remedy: str = WHOLE
) -> None:
    """Write a file in one step: see :func:`replacing`.

    Args:
        path: The file. Its folder is made if it is missing.
        content: The whole content; text is written as UTF-8.
        remedy: End of the message if writing fails.

    Raises:
        WriteError: If it could not be written.
    """
    with replacing(path, remedy) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


def append_line(path: str | os.PathLike[str], line: str) -> None:
    """Append a line to a file, completely or not at all.

    Args:
        path: The file, which is made if it is missing. Its folder must exist.
        line: The line without its line break.

    Raises:
        WriteError: If it could not be written; the earlier lines stay.
    """
    path = Path(path)
    with as_write_error(path):
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
    """Check that a file can be written, before the work whose result it will hold.

    Args:
        path: The file, which is not changed. Its folder is made if it is missing.

    Raises:
        WriteError: If :func:`replacing` could not write it.
    """
    path = Path(path)
    with as_write_error(path):
        mode = _mode(path)
        if mode is None or stat.S_ISREG(mode):
            target = Path(os.path.realpath(path))
            _make_folder(target.parent)
            with _part_of(target):
                pass  # deleted, since it is not moved


def ensure_folder(folder: str | os.PathLike[str]) -> None:
    """Make a folder if it is missing, and check that files can be written in it.

    Raises:
        WriteError: If it could not be made, or no file can be written in it.
    """
    folder = Path(folder)
    with as_write_error(folder):
        _make_folder(folder)
        with _part_of(folder / "file"):
            pass  # deleted, since it is not moved


def is_part(path: Path) -> bool:
    """Whether a file is an unfinished one of :func:`replacing`, which must not be read."""
    return _PART.match(path.name) is not None


def clear_parts(folder: str | os.PathLike[str]) -> list[Path]:
    """Delete the unfinished files that killed processes left in a folder, not in its subfolders.

    Files that a process is still writing are kept, and those of another host for a day.

    Returns:
        The deleted files.
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
    """Return the mode of a file, or None if it is missing; raise the errors of ``open``."""
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
    """Make an empty unfinished file, lock it, and delete it at the end unless it was renamed."""
    # It lies in the same folder, since renaming is one step only within one file system.
    suffix = target.suffix if len(os.fsencode(target.suffix)) <= _LONGEST_SUFFIX else ""
    while True:
        part = target.with_name(f".{_HOST}-{secrets.token_hex(4)}.part{suffix}")
        if folder:
            part.mkdir()
        lock = os.open(part, os.O_RDONLY if folder else os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(lock, fcntl.LOCK_EX)
            # Before it was locked, another process may have deleted it as abandoned.
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
    """Wait until a file or folder is on the disk."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    except OSError as error:
        # Some network file systems cannot do this for folders.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(file)


@contextlib.contextmanager
def as_write_error(path: str | os.PathLike[str], remedy: str = WHOLE) -> Iterator[None]:
    """Raise each error of the system in the block as that of :func:`write_error`."""
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        raise write_error(path, error, remedy) from error


def write_error(path: str | os.PathLike[str], error: OSError, remedy: str = WHOLE) -> WriteError:
    """Return the error of a failed write, whose message names the path and the reason.

    Args:
        path: The file or folder.
        error: Error of the system.
        remedy: End of the message.
    """
    path = Path(path)
    reason = error.strerror or str(error)
    if error.errno == errno.EISDIR:
        reason = "it is a folder"
    elif error.errno in (errno.EEXIST, errno.ENOTDIR):
        blocking = [place for place in (path, *path.absolute().parents) if place.is_file()]
        reason = f"{blocking[-1]} is a file, not a folder" if blocking else reason
    elif error.errno == errno.ENOENT:
        gone = [folder for folder in path.absolute().parents if not folder.exists()]
        reason = f"the folder {gone[-1]} is gone" if gone else reason
    failure = WriteError(f"could not write {path}: {reason}; {remedy}")
    failure.errno = error.errno
    return failure


def path_inside(folder: str | os.PathLike[str], name: str) -> Path:
    """Return the path of a file inside a folder, for a name that comes from data.

    Args:
        folder: The folder, which need not exist.
        name: A path relative to it, with ``/`` between its parts.

    Raises:
        ValueError: If the name is empty, absolute or not a valid file name, has ``..`` among its
            parts, or leads out of the folder through a symbolic link; or if something else than a
            file has this path.
    """
    path, windows = Path(folder, name), PureWindowsPath(name)  # Windows paths know / and \
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
    # Writing follows links; realpath stops at links that form a circle.
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise ValueError(f"{path} leads out of {folder} through a symbolic link: delete the link")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is not a file: delete it or choose another folder")
    return path
