"""Read CVAT's XML for images 1.1: one file for a task, a job or a project, or several of them.

Rotated boxes and ellipses become polygons, masks become run lengths, a cuboid becomes the box
around it; points, lines and tags are left out. Shapes of one label and one group are parts of one
object. A file is read piece by piece.

Source: https://docs.cvat.ai/docs/manual/advanced/xml_format/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from xml.etree.ElementTree import Element

import numpy as np

from convnext_dense.data.decoding import Header
from convnext_dense.data.formats.geometry import box_polygon, ellipse_polygon, extent, rotated
from convnext_dense.data.formats.grouping import ShapeError, joined, mask_object
from convnext_dense.data.formats.listing import Listing
from convnext_dense.data.formats.reader import Reader, outlined, stated_size
from convnext_dense.data.formats.source import Object, Picture
from convnext_dense.data.formats.splits import split_of, split_of_file
from convnext_dense.data.formats.xml_files import iterate_xml, root_tag, text_of

LOOKED_FOR = "CVAT's .xml files for images with <annotations>"
_NO_AREA = ("polyline", "points", "skeleton", "tag")
_NOT_SHAPES = ("attribute",)
_VIDEO = (
    "CVAT's tracks of a video name no pictures: export the task as 'CVAT for images 1.1' instead"
)
_MOST_PIXELS = 200_000_000  # of a mask, whose runs could claim any number


def recognise(listing: Listing) -> str | None:
    """Return what shows that a source is in this format, or None."""
    return listing.first_of_kind(".xml", root_tag, "annotations")


class Cvat(Reader):
    """CVAT's files; see the module."""

    format = "cvat"

    @cached_property
    def _files(self) -> list[str]:
        return self.listing.of_kind(".xml", root_tag, "annotations")

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Given names, the labels that the files list, or all that are used, in their order."""
        if self.given_classes:
            return self.given_classes
        found: dict[str, None] = {}
        for name in self._files:
            listed = False
            for element in iterate_xml(self.listing.root / name, ("meta", "image")):
                if element.tag == "meta":
                    # A skeleton's points are labels too, with a parent.
                    labels = [x for x in element.iter("label") if x.find("parent") is None]
                    names = [text_of(label, "name") for label in labels]
                    found.update(dict.fromkeys(filter(None, names)))
                    listed = listed or bool(names)
                if listed:
                    break
                found.update(dict.fromkeys(filter(None, map(_label, element))))
        return tuple(found)

    def read(self) -> Iterator[Picture]:
        """Yield the pictures in the order of the files."""
        used = set()
        for file in self._files:
            try:
                for image in iterate_xml(self.listing.root / file, ("image", "track")):
                    if image.tag == "track":
                        raise ValueError(f"{self.listing.root / file}: {_VIDEO}")
                    written = image.get("name", "")
                    shapes = [one for one in image if one.tag not in _NOT_SHAPES]
                    try:
                        name = self.listing.find_picture(
                            written, file, split=split_of((image.get("subset", ""),))
                        )
                    except LookupError as error:
                        place = f"{file}, image {image.get('id')}: {written}"
                        what = f"labels without a picture: {error}"
                        self.lose(what, place, len(shapes), error=True)
                        continue
                    used.add(name)
                    header = self.measure(name, len(shapes))
                    if header:
                        yield self._picture(name, header, image, shapes, file)
            except ValueError as error:
                if not used:
                    raise
                self.lose("label files that cannot be read to the end", str(error), error=True)
        self.lose_unlisted(used)

    def _picture(
        self, name: str, header: Header, image: Element, shapes: list[Element], file: str
    ) -> Picture:
        stated = stated_size(image.get("width"), image.get("height"))
        size = header.size if stated == header.size else header.shown_size
        place = f"{file}, image {image.get('id')}"
        subset = image.get("subset", "")
        split = split_of((subset,)) or split_of_file(name)
        if subset and subset.lower() != "default" and split is None:
            self.lose("subsets that are none of train, validation and test", f"{place}: {subset}")
        found = []
        for number, shape in enumerate(shapes, 1):
            one = self._object(shape, size, f"{place}, shape {number}")
            if one:
                found.append((one, shape.get("group_id")))
        return self.fitted(name, header, joined(found), stated=stated, split=split)

    def _object(self, shape: Element, size: tuple[int, int], place: str) -> Object | None:
        if shape.tag in _NO_AREA:
            self.lose(f"shapes of type {shape.tag}, which have no area, are left out", place, 1)
            return None
        draw, label = _SHAPES.get(shape.tag), _label(shape)
        if draw is None or label is None:
            what = "shapes without a label" if draw else "shapes of a type that CVAT does not have"
            self.lose(what, place, 1, error=True)
            return None
        try:
            one = draw(shape, label, size)
        except (TypeError, ValueError) as error:
            self.lose_shape(error, f"{shape.tag} shapes of other numbers", place)
            return None
        if shape.tag == "cuboid":
            self.lose("cuboids became the boxes around them", place)
        elif shape.tag == "ellipse":
            self.lose("ellipses became polygons", place)
        elif shape.tag == "box" and one.polygons:
            self.lose("rotated boxes became polygons", place)
        if shape.find("attribute") is not None:
            self.lose("attributes are left out", place)
        return replace(one, place=place)


def _label(shape: Element) -> str | None:
    return shape.get("label", "").strip() or None


def _values(shape: Element, *keys: str) -> list[float]:
    return [float(shape.get(key, "")) for key in keys]


def _turned(shape: Element, outline: np.ndarray, centre: tuple[float, float]) -> np.ndarray:
    """Return an outline rotated clockwise around its centre, as CVAT states it in degrees."""
    return rotated(outline, float(shape.get("rotation", 0)), centre)


def _box(shape: Element, label: str, size: tuple[int, int]) -> Object:
    x1, y1, x2, y2 = _values(shape, "xtl", "ytl", "xbr", "ybr")
    if float(shape.get("rotation", 0)) % 360 == 0:
        return Object(label, (x1, y1, x2, y2))
    corners = box_polygon((x1, y1, x2, y2))
    return outlined(label, [_turned(shape, corners, ((x1 + x2) / 2, (y1 + y2) / 2))], "")


def _polygon(shape: Element, label: str, size: tuple[int, int]) -> Object:
    points = _points(shape)
    if len(points) < 3:
        raise ShapeError("polygons of fewer than 3 points")
    return outlined(label, [points], "")


def _points(shape: Element) -> np.ndarray:
    pairs = [pair.split(",") for pair in shape.get("points", "").split(";") if pair.strip()]
    return np.array([(float(x), float(y)) for x, y in pairs]).reshape(-1, 2)


def _ellipse(shape: Element, label: str, size: tuple[int, int]) -> Object:
    x, y, rx, ry = _values(shape, "cx", "cy", "rx", "ry")
    return outlined(label, [_turned(shape, ellipse_polygon(x, y, rx, ry), (x, y))], "")


def _cuboid(shape: Element, label: str, size: tuple[int, int]) -> Object:
    corners = [f"{side}{number}" for side in ("tl", "bl", "tr", "br") for number in "12"]
    points = [_values(shape, f"x{corner}", f"y{corner}") for corner in corners]
    return Object(label, extent((np.array(points),)))


def _mask(shape: Element, label: str, size: tuple[int, int]) -> Object:
    """Draw runs of 0 and 1 in turn, row by row in the mask's box."""
    left, top, width, height = (int(float(shape.get(key, ""))) for key in _MASK_BOX)
    runs = [int(run) for run in shape.get("rle", "").split(",")]
    if min(runs) < 0 or min(width, height) < 1 or sum(runs) != width * height:
        raise ShapeError("masks whose runs do not sum to width x height")
    if width * height > _MOST_PIXELS:
        raise ShapeError("masks larger than any picture")
    values = np.arange(len(runs), dtype=np.uint8) % 2
    return mask_object(label, np.repeat(values, runs).reshape(height, width), left, top, size)


_MASK_BOX = ("left", "top", "width", "height")
_SHAPES: dict[str, Callable[[Element, str, tuple[int, int]], Object]] = {
    "box": _box,
    "polygon": _polygon,
    "ellipse": _ellipse,
    "cuboid": _cuboid,
    "mask": _mask,
}
