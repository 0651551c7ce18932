"""Read YOLO: a text file for each picture, with a line ``class x y width height`` per object.

A line of a class and three points or more is an outline, as in Ultralytics' segmentation; the four
corners of an oriented box are one too. The numbers are shares of the width and height of the
picture as it is shown. ``data.yaml`` (Ultralytics, Roboflow) or ``obj.data`` and ``obj.names``
(Darknet) state the classes and splits.

Source: https://docs.ultralytics.com/datasets/ and https://github.com/AlexeyAB/darknet.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from convnext_dense.data.formats.listing import Listing, stem_of
from convnext_dense.data.formats.reader import Reader, outlined
from convnext_dense.data.formats.source import Object, Picture
from convnext_dense.data.formats.splits import split_of_file
from convnext_dense.data.formats.text_files import read_text
from convnext_dense.data.formats.yolo_config import YoloConfig, find_config, read_yaml

LOOKED_FOR = "YOLO's data.yaml, obj.data or .txt labels beside the pictures or in labels/"
# Folders of pictures, for which the labels' path has `labels`.
_OF_PICTURES = ("images", "JPEGImages")
# Files that describe a data set, or its names.
_GIVEN = (".yaml", ".yml", ".data", ".names")
# Shares further beyond 1 than this are not shares.
_FAR = 2.0
_NO_NUMBERS = "lines of YOLO that are not a class and numbers"
_BAD_COUNT = "lines of YOLO that are neither `class x y width height` nor a class and 3 points"
_FAR_OFF = "lines of YOLO with numbers far beyond 1, which are no shares of the picture's sides"
_UNNAMED = "objects of a class id that has no name"
_POSE = "points of a pose are left out, its box stays"
_CONFIDENCE = "the confidence of a prediction is left out"


def recognise(listing: Listing) -> str | None:
    """Return what shows that a source is in this format, or None."""
    if listing.given and listing.given.suffix.lower() not in _GIVEN:
        return None
    config = find_config(listing)
    if config and not config.file.name.endswith(".txt"):
        return str(config.file)
    pictures = {stem_of(name) for name in listing.pictures}
    for name in listing.files(".txt"):
        if pictures.intersection(_pictures_of(name)) and _is_label(listing.root / name):
            return str(listing.root / name)
    return None


class Yolo(Reader):
    """A YOLO data set; see the module."""

    format = "yolo"

    def __init__(self, listing: Listing, classes: Sequence[str] | None = None) -> None:
        if listing.given and listing.given.suffix.lower() in (".yaml", ".yml"):
            listing = _moved(listing, listing.given)
        super().__init__(listing, classes)
        self.config = find_config(listing)
        self._texts = frozenset(listing.labels(".txt"))

    @cached_property
    def names(self) -> dict[int, str]:
        """Names of the classes by their ids."""
        if self.given_classes:
            return dict(enumerate(self.given_classes))
        if self.config and self.config.names:
            return self.config.names
        used = (self._ids(self.label_file(name)) for name in self.listing.pictures)
        return {index: f"class_{index}" for index in sorted(set().union(*used))}

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in the order of their ids."""
        return tuple(dict.fromkeys(self.names.values()))

    def read(self) -> Iterator[Picture]:
        """Yield the pictures, split by split."""
        self._remark_on_names()
        used: set[str] = set()
        for name, split in self._listed():
            label_file = self.label_file(name)
            used.update((label_file,) if label_file else ())
            picture = self._read_picture(name, split, label_file)
            if picture:
                yield picture
        lists = [place for _, place in self._places]
        for label_file in sorted(self._texts - used):
            path = self.listing.root / label_file
            if _is_label(path) and path not in lists:
                lines = sum(bool(line.strip()) for line in read_text(path).splitlines())
                self.lose("labels without a picture", label_file, lines, error=True)

    def label_file(self, name: str) -> str | None:
        """Return the name of a picture's label file, or None if it has none."""
        stem = stem_of(name) + ".txt"
        parts = stem.split("/")
        places = [stem, f"labels/{stem}"]
        for index in reversed(range(len(parts) - 1)):
            if parts[index] in _OF_PICTURES:
                places.insert(0, "/".join([*parts[:index], "labels", *parts[index + 1 :]]))
                break
        return next((place for place in places if place in self._texts), None)

    def _read_picture(self, name: str, split: str | None, label_file: str | None) -> Picture | None:
        lines: list[str] = []
        if label_file is None:
            self.lose("pictures without labels are kept as empty", name)
        else:
            try:
                lines = read_text(self.listing.root / label_file).splitlines()
            except (OSError, ValueError):
                self.lose("label files that cannot be read", label_file, error=True)
        numbered = [(row, line) for row, line in enumerate(lines, 1) if line.strip()]
        header = self.measure(name, len(numbered))
        if header is None:
            return None
        places = ((f"{label_file}, line {row}", line) for row, line in numbered)
        objects = (self._object(line, header.shown_size, place) for place, line in places)
        return self.fitted(name, header, filter(None, objects), split=split)

    def _object(self, line: str, size: tuple[int, int], place: str) -> Object | None:
        values = _numbers(line)
        if values is None or len(values) < 5:
            self.lose(_BAD_COUNT if values else _NO_NUMBERS, place, 1, error=True)
            return None
        label, numbers = self.names.get(int(values[0])), values[1:]
        if label is None or values[0] != int(values[0]):
            self.lose(_UNNAMED, place, 1, error=True)
            return None
        if self._is_pose(numbers):
            self.lose(_POSE, place)
            numbers = numbers[:4]
        elif len(numbers) == 5:
            self.lose(_CONFIDENCE, place)
            numbers = numbers[:4]
        if len(numbers) % 2:
            self.lose(_BAD_COUNT, place, 1, error=True)
            return None
        if not all(abs(number) <= _FAR for number in numbers):  # NaN is not either
            self.lose(_FAR_OFF, place, 1, error=True)
            return None
        if len(numbers) > 4:
            return outlined(label, [np.reshape(numbers, (-1, 2)) * size], place)
        x, y, w, h = (share * side for share, side in zip(numbers, size * 2, strict=True))
        return Object(label, (x - w / 2, y - h / 2, x + w / 2, y + h / 2), place=place)

    def _is_pose(self, numbers: list[float]) -> bool:
        if self.config and self.config.keypoints:
            return len(numbers) == 4 + math.prod(self.config.keypoints)
        # Every third number after the box says whether a point is seen; 2 is no coordinate.
        flags = numbers[6::3]
        return len(numbers) > 6 and len(numbers) % 3 == 1 and 2.0 in flags and {*flags} <= {0, 1, 2}

    def _listed(self) -> Iterator[tuple[str, str | None]]:
        """Yield the name and split of each picture, once."""
        for split, entry, there in self._entries:
            if not there:
                what = "folders or lists of a split that are not in the folder"
                self.lose(what, f"{split}: {entry}", error=split != "test")
        seen: dict[str, str | None] = {}
        names: Iterator[str]
        for split, place in self._places:
            if place.is_dir():
                inside = place.relative_to(self.listing.image_root).as_posix() + "/"
                start = "" if inside == "./" else inside
                names = (name for name in self.listing.pictures if name.startswith(start))
            else:
                names = self._of_list(place)
            for name in names:
                if name not in seen:
                    seen[name] = split
                    yield name, split
                elif seen[name] != split:
                    self.lose("pictures of two splits are kept in the first", name)
        if not self._places:
            for name in self.listing.pictures:
                yield name, split_of_file(name)

    @cached_property
    def _entries(self) -> list[tuple[str, str, Path | None]]:
        """The entries of each split, with the folder or list that they mean if it is there."""
        config = self.config
        if config is None:
            return []
        items = config.splits.items()
        return [(split, one, self._locate(config, one)) for split, own in items for one in own]

    @cached_property
    def _places(self) -> list[tuple[str, Path]]:
        return [(split, place) for split, _, place in self._entries if place]

    def _locate(self, config: YoloConfig, entry: str) -> Path | None:
        for root in dict.fromkeys((self.listing.image_root, self.listing.root)):
            place = config.locate(entry, root)
            if place and (place.is_file() or place.is_relative_to(self.listing.image_root)):
                return place
        return None

    def _of_list(self, path: Path) -> Iterator[str]:
        beside = Path(os.path.relpath(path, self.listing.root)).as_posix()
        for row, line in enumerate(read_text(path).splitlines(), 1):
            if line.strip():
                try:
                    yield self.listing.find_picture(line, beside)
                except LookupError as error:
                    self.lose(f"lines of a list: {error}", f"{beside}, line {row}", error=True)

    def _remark_on_names(self) -> None:
        if not self.given_classes and not (self.config and self.config.names):
            what = "class ids without names are called class_0 and so on: give `classes`"
            self.lose(what, str(self.root), error=True)
        elif len(self.classes) < len(self.names):
            place = str(self.config.file if self.config else self.root)
            self.lose("class ids of one name become one class", place)

    def _ids(self, label_file: str | None) -> set[int]:
        if label_file is None:
            return set()
        try:
            lines = read_text(self.listing.root / label_file).splitlines()
        except (OSError, ValueError):
            return set()
        found = (_numbers(line) for line in lines)
        return {int(values[0]) for values in found if values and len(values) > 4}


def _moved(listing: Listing, yaml_file: Path) -> Listing:
    """Return the listing of the folder that a given yaml file names, which may lie elsewhere."""
    config = read_yaml(yaml_file)
    if config is None:
        raise ValueError(f"{yaml_file} has not YOLO's names and one of path, train and val")
    base = (yaml_file.parent / config.path).resolve()
    base = base if base.is_dir() else yaml_file.parent.resolve()
    entries = [entry for group in config.splits.values() for entry in group]
    places = [Path(os.path.normpath(base / entry)) for entry in entries]
    there = [str(base), *(str(place) for place in places if place.exists())]
    return listing.moved(Path(os.path.commonpath(there)))


def _numbers(line: str) -> list[float] | None:
    """Return the numbers of a line, or None if something else is in it or the class is none."""
    try:
        values = [float(word) for word in line.replace(",", " ").split()]
    except ValueError:
        return None
    return values if values and math.isfinite(values[0]) and values[0] >= 0 else None


def _is_label(path: Path) -> bool:
    """Whether the first line of a text file that is not empty is one of YOLO's."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            line = next((line for line in file if line.strip()), "")
    except OSError:
        return False
    values = _numbers(line[:10_000])
    return values is not None and len(values) > 4


def _pictures_of(label_file: str) -> Iterator[str]:
    """Yield where the picture of a label file can be, without its suffix."""
    stem = stem_of(label_file)
    yield stem
    if stem.startswith("labels/"):
        yield stem.removeprefix("labels/")
    parts = stem.split("/")
    for index in range(len(parts) - 1):
        if parts[index] == "labels":
            for folder in _OF_PICTURES:
                yield "/".join([*parts[:index], folder, *parts[index + 1 :]])
