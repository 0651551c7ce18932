"""Read all sources once: which pictures there are, and what was labelled in them."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from convnext_dense.data.audit.pictures import check_picture, map_in_workers
from convnext_dense.data.convert.classes import Classes
from convnext_dense.data.convert.label_maps import SPECK, draw, objects_in, write_map
from convnext_dense.data.convert.masks import DamagedError, MaskReader
from convnext_dense.data.convert.names import Names
from convnext_dense.data.convert.objects import annotation_of
from convnext_dense.data.convert.pictures import Entry, KnownPictures
from convnext_dense.data.convert.spool import Spool
from convnext_dense.data.convert.tally import Tally
from convnext_dense.data.decoding import read_header
from convnext_dense.data.formats.geometry import turned_mask
from convnext_dense.data.formats.source import Picture, Source
from convnext_dense.text import one_line

INSTANCES, LABEL_MAPS = FORMS = ("instances", "label-maps")
# Folders that say what every picture is, or its split, which the result says in its own way.
_COMMON = re.compile(
    r"images?|imgs?|pictures|jpegimages|obj_train_data|"
    r"(train|training|trainval|val|valid|validation|test|testing)(\d{4})?",
    re.IGNORECASE,
)


class Gatherer:
    """Reads sources, and keeps what was labelled for the writer.

    Args:
        classes: What the classes become.
        form: ``instances`` or ``label-maps``.
        folder: A folder for label maps and for pictures that have no file of their own.
        spool: For the annotations.
        rest: The label of what nobody labelled: 0, or that of a class for it.

    Attributes:
        entries: The pictures of the result.
        tally: What is not in it, or is in another form.
        pictures: How many pictures the sources have.
        objects: How many objects they have.
    """

    def __init__(
        self, classes: Classes, form: str, folder: Path, spool: Spool, *, rest: int
    ) -> None:
        self.classes, self.form, self.folder, self.spool = classes, form, folder, spool
        self.rest = rest
        self.entries: list[Entry] = []
        self.tally = Tally()
        self.pictures = self.objects = 0
        self._known = KnownPictures()
        self._names = Names(by_stem=form == LABEL_MAPS)

    def read(
        self, number: int, source: Source, by_maps: bool, progress: Callable[[int], None]
    ) -> None:
        """Read all pictures of a source.

        Args:
            number: Number of the source.
            source: The source.
            by_maps: Whether its label maps are taken, and not its objects.
            progress: Called with the number of pictures read so far, of all sources.

        Raises:
            ValueError: If its masks have colours that their table lacks.
        """
        reader = MaskReader(source.pixels, self._label, self._remark) if by_maps else None
        begin = len(self.entries)
        for picture in _pictures_of(source):
            self._take_losses(source)
            self._add(number, picture, reader)
            self.pictures += 1
            progress(self.pictures)
        self._take_losses(source)
        for entry in self.entries[begin:]:
            self._known.add(entry)

    def leave_out_damaged(self) -> None:
        """Open all pictures as a training does, and leave out those that it would refuse."""
        from convnext_dense.data.loading import LoadPicture, other_size

        check = functools.partial(check_picture, load=LoadPicture(), fast=False)
        paths = [entry.path for entry in self.entries]
        checks = map_in_workers(check, paths, None, "pictures opened")
        sound = []
        for entry, found in zip(self.entries, checks, strict=True):
            problem, what = found.problem, "pictures that are damaged"
            if not problem and found.size != entry.size:
                what = "pictures of another size than their labels are for"
                problem = other_size(entry.path, found.size, entry.size, found.header)
            if problem:
                objects = len(self.spool.read(entry)[0])
                place = f"{entry.name}: {problem}"
                self.tally.add(what, place, pictures=1, objects=objects, is_error=True)
            else:
                sound.append(entry)
        self.entries = sound

    def _take_losses(self, source: Source) -> None:
        self.tally.add_losses(source.losses)
        self.pictures += sum(loss.pictures for loss in source.losses)
        self.objects += sum(loss.objects for loss in source.losses)
        source.losses.clear()

    def _add(self, number: int, picture: Picture, reader: MaskReader | None) -> None:
        annotations, label_map = self._labels_of(picture, reader)
        if annotations is None and label_map is None:
            return
        path, is_own = str(picture.path), False
        if picture.content is not None:
            made = self.folder / f"picture{self.pictures}{Path(picture.name).suffix}"
            made.write_bytes(picture.content())
            path, is_own = str(made), True
        name = _own_part(picture.name)
        places = () if annotations is None else (self.spool.add(annotations),)
        classes = frozenset(annotation["category_id"] - 1 for annotation in annotations or ())
        known = self._known.find_same(path, name, number)
        if known is not None:
            self.tally.add(
                "pictures that another source has too, by their content: their labels are joined"
                if places
                else "pictures that another source has too, by their content: its label map stays",
                picture.name,
                pictures=1,
            )
            known.places += places
            known.classes |= classes
            return
        entry = Entry(
            self._names.take(name),
            path,
            (picture.width, picture.height),
            number,
            picture.split,
            classes,
            places,
            is_own=is_own,
        )
        if label_map is not None:
            made = self.folder / f"map{self.pictures}.png"
            write_map(made, label_map)
            entry.label_map = str(made)
            entry.classes = frozenset((np.unique(label_map[label_map > 0]) - 1).tolist())
        self.entries.append(entry)

    def _labels_of(
        self, picture: Picture, reader: MaskReader | None
    ) -> tuple[list[dict] | None, np.ndarray | None]:
        """Return the annotations or the label map of a picture; neither if it is left out."""
        if reader is not None:
            labels = self._read_map(picture, reader)
            if labels is None:
                return None, None
            if picture.objects:
                number = len(picture.objects)
                self.objects += number
                what = "objects beside label maps are left out"
                self.tally.add(what, picture.name, objects=number, count=number)
            if self.form == LABEL_MAPS:
                labels[labels == 0] = self.rest
                return None, labels
            return self._find_objects(labels, picture), None
        self.objects += len(picture.objects)
        annotations = self._annotations(picture)
        if self.form == INSTANCES:
            if picture.label_map is not None:
                self.tally.add(
                    "label maps beside boxes are left out: a conversion `to='label-maps'` takes "
                    "them instead",
                    picture.name,
                )
            return annotations, None
        drawn = [a for a in annotations if "segmentation" in a]
        if len(drawn) < len(annotations):
            missing = len(annotations) - len(drawn)
            self.tally.add(
                "boxes without an outline: there is nothing to draw into a label map",
                picture.name,
                objects=missing,
                count=missing,
            )
        labels, hidden = draw(drawn, (picture.width, picture.height), rest=self.rest)
        if hidden:
            self.tally.add(
                "objects that smaller ones hide completely",
                picture.name,
                objects=hidden,
                count=hidden,
            )
        return None, labels

    def _read_map(self, picture: Picture, reader: MaskReader) -> np.ndarray | None:
        if picture.label_map is None:
            number = len(picture.objects)
            what = "pictures without a label map"
            self.tally.add(what, picture.name, pictures=1, objects=number)
            self.objects += number
            return None
        place, size = str(picture.label_map), (picture.width, picture.height)
        try:
            labels = reader.read(picture.label_map)
        except DamagedError as error:
            what = "pictures whose label map is damaged"
            self.tally.add(what, str(error), pictures=1, is_error=True)
            return None
        if labels.shape[::-1] != size:
            header = read_header(str(picture.path), place)
            if header is None or labels.shape[::-1] != header.size:
                self.tally.add(
                    "label maps of another size than their picture",
                    place,
                    pictures=1,
                    is_error=True,
                )
                return None
            labels = turned_mask(labels, header.orientation)
            self.tally.add("label maps of an unturned picture were turned as its EXIF says", place)
        return labels

    def _find_objects(self, labels: np.ndarray, picture: Picture) -> list[dict]:
        found = []
        for annotation in objects_in(labels):
            self.objects += 1
            if annotation is None:
                self.tally.add(
                    f"specks of fewer than {SPECK} connected pixels are no objects",
                    picture.name,
                    objects=1,
                )
            else:
                found.append(annotation)
        return found

    def _annotations(self, picture: Picture) -> list[dict]:
        found = []
        for thing in picture.objects:
            place = thing.place or picture.name
            index = self.classes.index(thing.label)
            if index is None:
                self.tally.add(f"objects of the dropped class {thing.label!r}", place, objects=1)
                continue
            if thing.ignored:
                what = "difficult objects: written as iscrowd, neither rewarded nor punished for"
                self.tally.add(what, place)
            found.append(annotation_of(thing, index + 1))
        return found

    def _remark(self, what: str, pixels: int) -> None:
        self.tally.add(what, "", count=pixels)

    def _label(self, name: str) -> int | None:
        index = self.classes.index(name)
        return None if index is None else index + 1


def _pictures_of(source: Source) -> Iterator[Picture]:
    """Yield a source's pictures; an error of reading must not look like one of writing."""
    try:
        yield from source.pictures()
    except OSError as error:
        raise ValueError(f"{source.root} cannot be read: {one_line(error)}") from error


def _own_part(name: str) -> str:
    """Return the part of a picture's name that tells it from others of its source.

    Example:
        >>> _own_part("train/images/patient 1/a.jpg")
        'patient 1/a.jpg'
    """
    *folders, base = name.replace("\\", "/").split("/")
    return "/".join([*(part for part in folders if not _COMMON.fullmatch(part)), base])
