"""Read Pascal VOC: an XML file for each picture, and label maps as pictures with a palette.

``xmin`` and ``ymin`` count pixels from 1, ``xmax`` and ``ymax`` name the last pixel: 1, 1, 1, 1 is
the first pixel, so that the edges are xmin - 1, ymin - 1, xmax, ymax. Tools that count from 0 are a
pixel off from that, and nothing in their files tells.

Source: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/devkit_doc.pdf
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element

import numpy as np

from convnext_dense.data.formats.geometry import box_polygon, rotated
from convnext_dense.data.formats.listing import Listing, stem_of
from convnext_dense.data.formats.reader import Reader, outlined, stated_size
from convnext_dense.data.formats.source import Object, Picture, Pixels
from convnext_dense.data.formats.splits import split_of, split_of_file
from convnext_dense.data.formats.text_files import read_text
from convnext_dense.data.formats.voc_maps import (
    INSTANCES,
    MAP_FOLDERS,
    find_map_classes,
    values_of,
    with_mask,
)
from convnext_dense.data.formats.xml_files import read_xml, root_tag, text_of
from convnext_dense.data.label_maps import read_label_map
from convnext_dense.text import one_line

LOOKED_FOR = "Pascal VOC's .xml files with <annotation>, or a folder SegmentationClass"
_MARKS = ("pose", "truncated", "occluded")
# Of roLabelImg; the angle is in radians.
_TURNED = ("cx", "cy", "w", "h", "angle")


def recognise(listing: Listing) -> str | None:
    """Return what shows that a source is in this format, or None."""
    file = listing.first_of_kind(".xml", root_tag, "annotation")
    if file or listing.given:
        return file
    label_map = next(filter(_in_maps, listing.pictures), None)
    return label_map and str(listing.image_root / label_map)


class Voc(Reader):
    """A Pascal VOC data set; see the module."""

    format = "voc"

    def __init__(self, listing: Listing, classes: Sequence[str] | None = None) -> None:
        super().__init__(listing, classes)
        maps = [name for name in listing.pictures if _in_maps(name)]
        self._maps = {_key(name): name for name in maps if _folder(name) in MAP_FOLDERS}
        self._instances = {_key(name): name for name in maps if _folder(name) == INSTANCES}
        listing.pictures = [name for name in listing.pictures if not _in_maps(name)]
        self._files = listing.of_kind(".xml", root_tag, "annotation")

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Given names, or those of all objects in alphabetical order, or those of the maps."""
        return (
            self.given_classes
            or tuple(sorted(self._labels))
            or tuple(dict.fromkeys(self.pixels.values()))
        )

    @cached_property
    def _labels(self) -> set[str]:
        found = {text_of(one, "name") for name in self._files for one in self._objects_of(name)}
        return found - {""}

    @cached_property
    def pixels(self) -> Pixels:
        """What the pixels of label maps mean."""
        if not self._maps:
            return {}
        known = find_map_classes(self.listing, self._maps, self._labels)
        return known or values_of(self.given_classes)

    def read(self) -> Iterator[Picture]:
        """Yield the pictures with a file, then those without."""
        used = set()
        if self._maps and not self.pixels:
            what = "label maps whose classes are not known: give `classes`"
            self.lose(what, next(iter(self._maps.values())), error=True)
        for name in self._files:
            try:
                root = read_xml(self.listing.root / name)
            except (OSError, ValueError) as error:
                self.lose("label files that cannot be read", f"{name}: {error}", error=True)
                continue
            objects = root.findall("object")
            try:
                found = self._picture_of(root, name)
            except LookupError as error:
                self.lose(f"labels without a picture: {error}", name, len(objects), error=True)
                continue
            used.add(found)
            header = self.measure(found, len(objects))
            if header:
                shapes = self._shapes(objects, found, name)
                stated = stated_size(root.findtext("size/width"), root.findtext("size/height"))
                picture = self.fitted(found, header, shapes, stated=stated)
                yield self._with_map(picture)
        for found in self.listing.pictures:
            if found not in used and _key(found) in self._maps:
                used.add(found)
                header = self.measure(found)
                if header:
                    yield self._with_map(self.fitted(found, header))
        for picture in self.unlabelled(used):
            yield self._with_map(picture)

    def _shapes(self, objects: list[Element], picture: str, name: str) -> Iterator[Object]:
        """Yield the objects of a file, with their masks if there is a picture of those."""
        instances = self._instances.get(_key(picture))
        values = None
        if instances:
            try:
                values = read_label_map(self.path(instances).read_bytes(), instances)
            except (OSError, ValueError) as error:
                self.lose("masks of instances that cannot be read", one_line(error), error=True)
        for number, element in enumerate(objects, 1):
            place = f"{name}, object {number}"
            one = self._object(element, place)
            if one and values is not None:
                masked = with_mask(one, values == number)
                if masked is None:
                    self.lose("masks of instances that do not fit their boxes", place, error=True)
                one = masked or one
            if one:
                yield one

    def _with_map(self, picture: Picture) -> Picture:
        """Return a picture with its label map and its split by the lists."""
        key = _key(picture.name)
        label_map = self._maps.get(key)
        return replace(
            picture,
            label_map=self.path(label_map) if label_map else None,
            split=self._splits.get(key) or split_of_file(picture.name),
        )

    def _picture_of(self, root: Element, name: str) -> str:
        """Return the picture's name: by the file's own name, else by the one that it states."""
        stem = PurePosixPath(stem_of(name)).name
        try:
            return self.listing.find_picture(f"JPEGImages/{stem}", name, any_suffix=True)
        except LookupError:
            written = text_of(root, "filename") or text_of(root, "path")
            try:
                return self.listing.find_picture(written, name)
            except LookupError:
                return self.listing.find_picture(written, name, any_suffix=True)

    def _object(self, one: Element, place: str) -> Object | None:
        label = text_of(one, "name")
        if not label:
            self.lose("objects without a name", place, 1, error=True)
            return None
        if one.find("part") is not None:
            self.lose("parts of objects are left out", place)
        if any(text_of(one, mark, "0") not in ("0", "Unspecified") for mark in _MARKS):
            self.lose("pose, truncated and occluded are left out", place)
        ignored = text_of(one, "difficult") == "1"
        try:
            return self._shape(one, label, place, ignored)
        except (ValueError, TypeError):  # no number, or none at all
            self.lose("objects without a box of four numbers", place, 1, error=True)
            return None

    def _shape(self, one: Element, label: str, place: str, ignored: bool) -> Object:
        turned = one.find("robndbox")
        if turned is not None:
            x, y, w, h, angle = (float(text_of(turned, key)) for key in _TURNED)
            corners = box_polygon((x - w / 2, y - h / 2, x + w / 2, y + h / 2))
            self.lose("rotated boxes became polygons", place)
            outline = rotated(corners, np.rad2deg(angle), (x, y))
            return outlined(label, [outline], place, ignored=ignored)
        box = one.find("bndbox")
        if box is None:
            raise ValueError
        x1, y1, x2, y2 = (float(text_of(box, key)) for key in ("xmin", "ymin", "xmax", "ymax"))
        if x2 < x1 or y2 < y1:
            self.lose("boxes with max below min: exchanged", place, error=True)
            x1, x2, y1, y2 = min(x1, x2), max(x1, x2), min(y1, y2), max(y1, y2)
        # A tool that counts from 0 writes 0, which is no pixel here.
        x1, y1 = (0.0 if v == 0 else v - 1 for v in (x1, y1))
        parts = tuple(_points_of(part) for part in one.findall("polygon"))
        return Object(label, (x1, y1, x2, y2), parts, ignored=ignored, place=place)

    def _objects_of(self, name: str) -> list[Element]:
        try:
            return read_xml(self.listing.root / name).findall("object")
        except (OSError, ValueError):
            return []

    @cached_property
    def _splits(self) -> dict[str, str]:
        """The split of each picture by its key, from the lists in ImageSets."""
        found: dict[str, str] = {}
        lists = [PurePosixPath(name) for name in self.listing.labels(".txt")]
        lists = [path for path in lists if path.parent.parent.name == "ImageSets"]
        for path in sorted(lists, key=lambda path: path.stem.lower() == "trainval"):
            split = split_of((path.stem,))
            if split:
                top = path.parent.parent.parent
                for line in read_text(self.listing.root / path).splitlines():
                    if line.strip():
                        found.setdefault(str(top / line.split()[0]), split)
        return found


def _points_of(polygon: Element) -> np.ndarray:
    """Return the (N, 2) points of Roboflow's <polygon> with x1, y1, x2, ..., counted from 1."""
    values = [float(child.text or "nan") for child in polygon]
    return np.array(values).reshape(-1, 2) - 1


def _folder(name: str) -> str:
    return PurePosixPath(name).parent.name


def _in_maps(name: str) -> bool:
    return any(
        part.startswith(("SegmentationClass", "SegmentationObject")) for part in Path(name).parts
    )


def _key(name: str) -> str:
    """Return what a picture, its map and its line in a list have in common."""
    parts = PurePosixPath(stem_of(name)).parts
    return "/".join(part for part in parts if part not in ("JPEGImages", INSTANCES, *MAP_FOLDERS))
