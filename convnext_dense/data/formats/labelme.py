"""Read LabelMe: a JSON file for each picture, with its shapes.

Rectangles stay boxes, circles become polygons, masks become run lengths; points and lines have no
area and are left out. Shapes of one label and one group are parts of one object.

Source: https://github.com/wkentaro/labelme, versions 3 to 6.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
from PIL import Image

from convnext_dense.data.decoding import Header, any_size, read_header
from convnext_dense.data.formats.geometry import ellipse_polygon
from convnext_dense.data.formats.grouping import ShapeError, joined, mask_object
from convnext_dense.data.formats.listing import Listing, stem_of
from convnext_dense.data.formats.reader import Reader, outlined, stated_size
from convnext_dense.data.formats.source import Object, Picture
from convnext_dense.data.formats.splits import split_of_file
from convnext_dense.data.formats.text_files import kind_of, read_json

LOOKED_FOR = "LabelMe's .json files with shapes"
_NO_AREA = ("point", "points", "line", "linestrip")
_POLYGONS = ("polygon", "oriented_rectangle")


def recognise(listing: Listing) -> str | None:
    """Return what shows that a source is in this format, or None."""
    return listing.first_of_kind(".json", kind_of, "labelme")


class LabelMe(Reader):
    """LabelMe's files; see the module."""

    format = "labelme"

    @cached_property
    def _files(self) -> list[str]:
        return self.listing.of_kind(".json", kind_of, "labelme")

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Given names, or all labels in alphabetical order."""
        if self.given_classes:
            return self.given_classes
        found: set[str] = set()
        for name in self._files:
            try:
                shapes = _content(self.listing.root / name)["shapes"]
            except (OSError, ValueError):
                continue  # counted when it is read
            found.update(filter(None, map(_label, shapes)))
        return tuple(sorted(found))

    def read(self) -> Iterator[Picture]:
        """Yield the pictures with a file, then those without."""
        used = set()
        for name in self._files:
            try:
                content = _content(self.listing.root / name)
            except (OSError, ValueError) as error:
                self.lose("label files that cannot be read", f"{name}: {error}", error=True)
                continue
            try:
                found = self._picture_of(content, name)
            except LookupError as error:
                yield from self._embedded(content, name, str(error))
                continue
            used.add(found)
            header = self.measure(found, len(content["shapes"]))
            if header:
                objects = self._objects(content, header, name)
                split = split_of_file(found)
                yield self.fitted(found, header, objects, stated=_stated(content), split=split)
        yield from self.unlabelled(used)

    def _picture_of(self, content: dict, name: str) -> str:
        """Return the name of a file's picture: the one that it states, else one of its own name."""
        written = content.get("imagePath")
        try:
            return self.listing.find_picture(written if isinstance(written, str) else "", name)
        except LookupError:
            stem = PurePosixPath(stem_of(name)).name
            return self.listing.find_picture(stem, name, any_suffix=True)

    def _embedded(self, content: dict, name: str, missing: str) -> Iterator[Picture]:
        """Yield the picture that a file holds, if it does."""
        header: Header | None = None
        if content.get("imageData"):
            try:
                image = _image_data(content)
                header = read_header(image, name)
            except ValueError as error:
                missing = str(error)
        if header is None:
            number = len(content["shapes"])
            self.lose(f"labels without a picture: {missing}", name, number, error=True)
            return
        written = PureWindowsPath(str(content.get("imagePath") or "")).name
        suffixes = _SUFFIXES.get(_format(image), (".png",))
        own = PurePosixPath(name)
        fits = PurePosixPath(written).suffix.lower() in suffixes
        named = own.with_name(written) if fits else own.with_suffix(suffixes[0])
        self.lose("the picture was taken out of its label file", name)
        objects = self._objects(content, header, name)
        picture = self.fitted(str(named), header, objects, stated=_stated(content))
        path = self.listing.root / name
        yield replace(picture, path=path, content=partial(_read_image, path))

    def _objects(self, content: dict, header: Header, name: str) -> Iterator[Object]:
        # Masks are as large as the picture was for LabelMe.
        size = header.size if _stated(content) == header.size else header.shown_size
        found = []
        for number, shape in enumerate(content["shapes"], 1):
            place = f"{name}, shape {number}"
            one = self._object(shape, size, place)
            if one:
                group = shape.get("group_id")
                found.append((replace(one, place=place), group))
        return joined(found)

    def _object(self, shape: object, size: tuple[int, int], place: str) -> Object | None:
        label = _label(shape)
        if label is None or not isinstance(shape, dict):
            self.lose("shapes without a label", place, 1, error=True)
            return None
        kind = shape.get("shape_type") or "polygon"
        if kind in _NO_AREA:
            self.lose(f"shapes of type {kind}, which have no area, are left out", place, 1)
            return None
        draw = _SHAPES.get(kind)
        if draw is None:
            self.lose(
                "shapes of a type that LabelMe does not have are left out", place, 1, error=True
            )
            return None
        flags = shape.get("flags")
        if isinstance(flags, dict) and any(flags.values()):
            self.lose("flags of shapes are left out", place)
        try:
            points = np.array(shape.get("points"), np.float64).reshape(-1, 2)
            one = draw(label, points, shape, size)
        except (ValueError, TypeError) as error:
            self.lose_shape(error, f"{kind} shapes with other points", place)
            return None
        if kind == "circle":
            self.lose("circles became polygons", place)
        return one


def _polygon(label: str, points: np.ndarray, shape: dict, size: tuple[int, int]) -> Object:
    if len(points) < 3:
        raise ShapeError("polygons of fewer than 3 points")
    return outlined(label, [points], "")


def _rectangle(label: str, points: np.ndarray, shape: dict, size: tuple[int, int]) -> Object:
    if len(points) not in (2, 4):
        raise ShapeError("rectangles that have not two corners")
    (x1, y1), (x2, y2) = points.min(0).tolist(), points.max(0).tolist()
    return Object(label, (x1, y1, x2, y2))


def _circle(label: str, points: np.ndarray, shape: dict, size: tuple[int, int]) -> Object:
    (x, y), edge = points.tolist()
    radius = math.dist((x, y), edge)
    return outlined(label, [ellipse_polygon(x, y, radius, radius)], "")


def _mask(label: str, points: np.ndarray, shape: dict, size: tuple[int, int]) -> Object:
    """Draw a mask of 0 and 1, whose first point is its first pixel."""
    x1, y1 = points.min(0)
    content = _decoded(shape.get("mask"))
    header = read_header(content, "mask")
    if header is None or min(header.size) < 1 or not np.isfinite(points).all():
        raise ShapeError("masks that are not pictures")
    with any_size(), Image.open(io.BytesIO(content)) as picture:
        mask = np.asarray(picture)
    mask = mask if mask.ndim == 2 else mask[..., 0]
    return mask_object(label, mask, round(float(x1)), round(float(y1)), size)


_SHAPES: dict[str, Callable[[str, np.ndarray, dict, tuple[int, int]], Object]] = {
    **dict.fromkeys(_POLYGONS, _polygon),
    "rectangle": _rectangle,
    "circle": _circle,
    "mask": _mask,
}
_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg"),
    "MPO": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}


def _content(path: Path) -> dict:
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        raise ValueError("it has no list of shapes")
    return content


def _label(shape: object) -> str | None:
    label = shape.get("label") if isinstance(shape, dict) else None
    return label.strip() or None if isinstance(label, str) else None


def _stated(content: dict) -> tuple[int, int] | None:
    return stated_size(content.get("imageWidth"), content.get("imageHeight"))


def _decoded(text: object) -> bytes:
    if not isinstance(text, str):
        raise ShapeError("masks without their pixels")
    return base64.b64decode(text)


def _image_data(content: dict) -> bytes:
    try:
        return base64.b64decode(content["imageData"])
    except (ValueError, TypeError) as error:
        raise ValueError("its imageData is not base64") from error


def _read_image(path: Path) -> bytes:
    """Return the bytes of the picture that a label file holds."""
    return _image_data(_content(path))


def _format(content: bytes) -> str:
    with any_size(), Image.open(io.BytesIO(content)) as picture:
        return str(picture.format)
