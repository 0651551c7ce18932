"""List a source's folder once, and find the pictures that its labels name."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import takewhile
from pathlib import Path, PurePosixPath, PureWindowsPath

from convnext_dense.data.check_files import IMAGE_SUFFIXES
from convnext_dense.data.formats.splits import split_in

# Hidden files, and what macOS packs into archives beside the files.
_SKIPPED = (".", "__MACOSX")
_LOOKED_AT = 20  # files of a folder, to recognise a format
# Folders of labels alone, beside which the pictures lie.
_OF_LABELS = ("annotations", "labels")


class Listing:
    """The names of all files of a source; of their contents nothing is read.

    Nothing outside of the folder is listed, so that a path in a label file cannot name it: such a
    path is only compared with the names that are here. Links in the folder are followed.

    Args:
        path: A folder, or a file in it: then other label files are not read.
        images: The folder of the pictures, if they lie elsewhere.

    Attributes:
        root: The folder.
        given: The file, if a file was given.
        image_root: The folder of the pictures, to which their names are relative.

    Raises:
        FileNotFoundError: If there is no such file or folder.
    """

    def __init__(
        self, path: str | os.PathLike[str], images: str | os.PathLike[str] | None = None
    ) -> None:
        path = Path(path)
        self.given = path if path.is_file() else None
        self.root = path.parent if self.given else path
        if self.given and self.root.name.lower() in _OF_LABELS and not images:
            self.root = Path(os.path.normpath(self.root / ".."))
        self.image_root = Path(images) if images else self.root
        for folder in (self.root, self.image_root):
            if not folder.is_dir():
                kind = "is not a folder" if folder.exists() else "does not exist"
                raise FileNotFoundError(f"{folder} {kind}")

    def moved(self, root: Path) -> Listing:
        """Return the listing of another folder for the same given file and pictures."""
        images = self.image_root if self.image_root != self.root else None
        other = Listing(root, images)
        other.given = self.given
        return other

    @cached_property
    def pictures(self) -> list[str]:
        """Names of all pictures below :attr:`image_root`, with forward slashes, in order."""
        if self.image_root == self.root:
            return self._by_suffix["picture"]
        return [name for name in walk(self.image_root) if is_picture(name)]

    def files(self, *suffixes: str) -> list[str]:
        """Return the names of the files with one of these suffixes, in order.

        If a file was given, no other than that is in the list.
        """
        if self.given:
            fits = self.given.suffix.lower() in suffixes
            return [Path(os.path.relpath(self.given, self.root)).as_posix()] if fits else []
        return sorted(name for suffix in suffixes for name in self._by_suffix.get(suffix, ()))

    def of_kind(self, suffix: str, kind_of: Callable[[Path], str], kind: str) -> list[str]:
        """Return the names of the files of a suffix of which ``kind_of`` says this kind."""
        return [name for name in self.files(suffix) if kind_of(self.root / name) == kind]

    def first_of_kind(self, suffix: str, kind_of: Callable[[Path], str], kind: str) -> str | None:
        """Return the path of one of these files, or None; of a folder only some are looked at."""
        looked: Counter[Path] = Counter()
        for path in (self.root / name for name in self.files(suffix)):
            looked[path.parent] += 1
            if looked[path.parent] <= _LOOKED_AT and kind_of(path) == kind:
                return str(path)
        return None

    def labels(self, suffix: str) -> list[str]:
        """Return the names of all files of a suffix, also if only one file was given."""
        return self._by_suffix.get(suffix, [])

    @cached_property
    def _by_suffix(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for name in walk(self.root):
            suffix = "picture" if is_picture(name) else PurePosixPath(name).suffix.lower()
            found[suffix].append(name)
        return dict(found, picture=found["picture"])

    def find_picture(
        self,
        written: str,
        beside: str = "",
        *,
        any_suffix: bool = False,
        split: str | None = None,
    ) -> str:
        """Return the name of the picture that a label file means.

        The path can be of another machine: the picture is the one whose path ends most like it.

        Args:
            written: The path in the label file, relative or absolute, also of Windows.
            beside: Name of the label file; of equal candidates the nearest one is taken.
            any_suffix: Whether another suffix will do.
            split: Of equal candidates one in a folder of this split is taken.

        Raises:
            LookupError: If there is none, or several fit equally; the message says which.
        """
        parts = PureWindowsPath(written.strip()).parts
        key = _key(parts[-1] if parts else "", any_suffix)
        found = (self._by_stem if any_suffix else self._by_base).get(key, ())
        if not found:
            raise LookupError("its picture is not in the folder")
        if len(found) == 1:
            return found[0]
        near = Path(beside).parent.parts

        def likeness(name: str) -> tuple[int, bool, int, bool]:
            own = Path(name).parts
            ending = zip(reversed(own[:-1]), reversed(parts[:-1]), strict=False)
            beginning = zip(own[:-1], near, strict=False)
            return (
                _count_equal(ending),
                split is not None and split_in(" ".join(own[:-1])) == split,
                _count_equal(beginning) - abs(len(own) - 1 - len(near)),
                own[-1] == parts[-1],
            )

        ranked = sorted(found, key=likeness, reverse=True)
        if likeness(ranked[0]) == likeness(ranked[1]):
            raise LookupError("its picture is one of several of that name")
        return ranked[0]

    @cached_property
    def _by_base(self) -> dict[str, list[str]]:
        return _grouped(self.pictures, any_suffix=False)

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        return _grouped(self.pictures, any_suffix=True)


def walk(folder: Path) -> Iterator[str]:
    """Yield the relative names of all files of a folder and of its subfolders, sorted."""
    for here, folders, files in os.walk(folder, followlinks=True):
        inside = os.path.relpath(here, folder)
        prefix = "" if inside == "." else Path(inside).as_posix() + "/"
        folders[:] = sorted(name for name in folders if not name.startswith(_SKIPPED))
        if _is_loop(here, folder):
            folders.clear()
            continue
        for name in sorted(files):
            if not name.startswith(_SKIPPED):
                yield prefix + name


def is_picture(name: str) -> bool:
    """Whether a file's name ends like that of a picture."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def stem_of(name: str) -> str:
    """Return a relative path without its suffix."""
    return str(PurePosixPath(name).with_suffix(""))


def _is_loop(here: str, top: Path) -> bool:
    """Whether a link led back to a folder that contains it."""
    place = Path(here)
    return place != top and place.parent.resolve().is_relative_to(place.resolve())


def _grouped(names: list[str], any_suffix: bool) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[_key(name.rpartition("/")[2], any_suffix)].append(name)
    return groups


def _key(base: str, any_suffix: bool) -> str:
    return (stem_of(base) if any_suffix and is_picture(base) else base).casefold()


def _count_equal(pairs: Iterator[tuple[str, str]]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0].casefold() == pair[1].casefold(), pairs))
