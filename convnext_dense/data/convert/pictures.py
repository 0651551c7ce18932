"""Know pictures by their content, and link or copy them."""

from __future__ import annotations

import errno
import os
import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from convnext_dense.data.check_files import digest_of

# What systems say where a folder, a user or a file system may have no links.
_NO_LINKS = (errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.ENOSYS, errno.EOPNOTSUPP)


@dataclass(slots=True)
class Entry:
    """A picture of the result. There is one in memory for each picture, without its objects.

    Attributes:
        name: Its name below the folder of its split.
        path: The file that it is linked to.
        size: (width, height) in pixels, as shown.
        source: Number of the source.
        split: ``train``, ``val`` or ``test``; None until it is cut.
        classes: Indices of the classes that occur in it.
        places: Where its objects are in the spool: the offsets and lengths; two sources that both
            have the picture add one each.
        label_map: The file with its labels, if the result has label maps.
        is_own: Whether ``path`` was made by the conversion, from bytes in a file of labels.
    """

    name: str
    path: str
    size: tuple[int, int]
    source: int
    split: str | None = None
    classes: frozenset[int] = frozenset()
    places: tuple[tuple[int, int], ...] = ()
    label_map: str | None = None
    is_own: bool = False


class KnownPictures:
    """Finds the picture of an earlier source that has the same content.

    Files are read only if another has the same number of bytes.
    """

    def __init__(self) -> None:
        self._by_bytes: dict[int, list[Entry]] = defaultdict(list)
        self._digests: dict[str, str] = {}

    def add(self, entry: Entry) -> None:
        """Let later sources find a picture."""
        self._by_bytes[_count_bytes(entry.path)].append(entry)

    def find_same(self, path: str, name: str, source: int) -> Entry | None:
        """Return the same picture of another source, of several the one with the same name."""
        alike = self._by_bytes.get(_count_bytes(path), ())
        others = [entry for entry in alike if entry.source != source]
        if not others:
            return None
        base = Path(name).name
        others.sort(key=lambda entry: Path(entry.name).name != base)
        digest = self._digest(path)
        return next((entry for entry in others if self._digest(entry.path) == digest), None)

    def _digest(self, path: str) -> str:
        if path not in self._digests:
            try:
                self._digests[path] = digest_of(path)
            except OSError:  # who opens it later says why
                self._digests[path] = path
        return self._digests[path]


def _count_bytes(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:  # who opens it later says why
        return -1


def put(entry: Entry, target: Path, *, copy: bool) -> bool:
    """Link a picture to its place, by its absolute path, or copy it.

    A symbolic link takes no room, works across file systems, and survives that the folder it is in
    is moved.

    Args:
        entry: The picture.
        target: Its place.
        copy: Whether to copy it.

    Returns:
        Whether it is as asked for: where links are not allowed, it is copied.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if entry.is_own:
        Path(entry.path).replace(target)
        return True
    if not copy:
        try:
            target.symlink_to(os.path.realpath(entry.path))
            return True
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
    shutil.copyfile(entry.path, target)
    return copy
