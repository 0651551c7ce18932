"""Choose the names of the pictures in the result: safe, and no two alike."""

from __future__ import annotations

import os
import re
from pathlib import PurePosixPath

from convnext_dense.files import LONGEST_NAME

# Characters that a file system or a shell may refuse or obey.
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"|?*\ud800-\udfff]')
# So much of a name is left for what tells it from others.
_LONGEST = LONGEST_NAME - 40


class Names:
    """Hands out names below a folder, none of which leads out of it.

    Args:
        by_stem: Whether names that differ only in their ending are alike: the pictures' label maps
            would have one name.
    """

    def __init__(self, *, by_stem: bool) -> None:
        self._by_stem = by_stem
        self._used: set[str] = set()

    def take(self, name: str) -> str:
        """Return a name for a picture that no other has.

        Example:
            >>> names = Names(by_stem=False)
            >>> names.take("../a b/c.jpg"), names.take("a b/C.jpg")
            ('a b/c.jpg', 'a b/C-2.jpg')
        """
        path = PurePosixPath(safe(name))
        number, taken = 1, path
        while self._key(taken) in self._used:
            number += 1
            taken = path.with_name(f"{path.stem}-{number}{path.suffix}")
        self._used.add(self._key(taken))
        return str(taken)

    def _key(self, path: PurePosixPath) -> str:
        # Some file systems take upper and lower case for the same.
        return str(path.with_suffix("") if self._by_stem else path).casefold()


def safe(name: str) -> str:
    r"""Return a name as a relative path that stays where it is put.

    Example:
        >>> safe("C:\\photos\\..\\a?.jpg")
        'photos/a_.jpg'
    """
    parts = []
    for part in re.sub(r"^[A-Za-z]:[\\/]", "", name).replace("\\", "/").split("/"):
        part = _UNSAFE.sub("_", part).strip()
        if part and part.strip("."):
            parts.append(_shortened(part))
    return "/".join(parts) or "picture"


def _shortened(part: str) -> str:
    if len(os.fsencode(part)) <= _LONGEST:
        return part
    path = PurePosixPath(part)
    ending = path.suffix if len(path.suffix) < 10 else ""
    return os.fsencode(path.stem)[: _LONGEST - len(ending)].decode(errors="ignore") + ending
