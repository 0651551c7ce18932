"""Know the result of an earlier conversion, so that a later one adds to it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from convnext_dense.data.convert.write import MAP_FOLDERS
from convnext_dense.data.decoding import read_header
from convnext_dense.data.formats.detect import open_source
from convnext_dense.data.formats.source import Loss, Picture, Pixels, Source

NAME = "conversion.json"
_VERSION = 1
# A folder in an earlier result: what is being added to it.
_ADDED = ".added"


@dataclass(frozen=True)
class Record:
    """What a result says about itself.

    Attributes:
        form: ``instances`` or ``label-maps``.
        classes: Its classes, in the order of their numbers.
        background: Whether the first class was made of what nobody labelled.
    """

    form: str
    classes: tuple[str, ...]
    background: bool = False

    def write(self, out: Path) -> None:
        """Write it into the folder of the result."""
        content = dict(version=_VERSION, **asdict(self))
        (out / NAME).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def find_earlier(out: Path) -> Record | None:
    """Return the record of an earlier conversion, or None if there is nothing in the folder.

    Raises:
        FileExistsError: If there is something else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    try:
        content = json.loads((out / NAME).read_text(encoding="utf-8"))
        if content.pop("version") != _VERSION:
            raise ValueError
        return Record(**{**content, "classes": tuple(content["classes"])})
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise FileExistsError(
            f"{out} holds files that are not a converted data set: name another folder, or remove "
            "this one; nothing was changed"
        ) from None


def open_earlier(out: Path, record: Record) -> Source:
    """Open an earlier result as the first source of a later conversion."""
    if record.form == "label-maps":
        return _EarlierMaps(out, record)
    return open_source(out, "coco")


def add_to_earlier(part: Path, out: Path) -> None:
    """Move a complete result into an earlier one, which it holds too.

    From its first step on it cannot be lost: :func:`finish_adding` does what a process that is
    killed in between leaves undone.
    """
    part.replace(out / _ADDED)
    finish_adding(out)


def finish_adding(out: Path) -> bool:
    """Move what :func:`add_to_earlier` has not moved yet: new pictures, labels, the record.

    Returns:
        Whether there was anything.
    """
    added = out / _ADDED
    if not added.is_dir():
        return False
    files = [path for path in added.rglob("*") if path.is_symlink() or path.is_file()]
    record, labels = added / NAME, added / "annotations"
    for path in sorted(files, key=lambda path: (path == record, path.is_relative_to(labels))):
        target = out / path.relative_to(added)
        is_picture = path != record and not path.is_relative_to(labels)
        # A picture of the earlier result stays: here it may be a link to itself.
        if not (is_picture and os.path.lexists(target)):
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    shutil.rmtree(added)
    return True


class _EarlierMaps:
    """The label maps of an earlier conversion."""

    format = "label-maps"

    def __init__(self, out: Path, record: Record) -> None:
        self.root, self.classes = out, record.classes
        self.folders: tuple[Path, ...] = (out,)
        self.losses: list[Loss] = []
        self.about = sum(1 for _ in (out / "annotations").rglob("*.png"))
        self.pixels: Pixels = dict(enumerate(record.classes, 1))

    def pictures(self) -> Iterator[Picture]:
        """Yield the pictures, split by split."""
        for split, folder in MAP_FOLDERS.items():
            images = self.root / "images" / folder
            for path in sorted(images.rglob("*")):
                header = None if path.is_dir() else read_header(str(path), str(path))
                if header:
                    name = path.relative_to(images).as_posix()
                    made = self.root / "annotations" / folder / name
                    yield Picture(
                        path,
                        name,
                        *header.shown_size,
                        split=split,
                        label_map=made.with_suffix(".png"),
                    )
