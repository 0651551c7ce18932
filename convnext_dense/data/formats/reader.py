"""What all readers share: they measure pictures, fit labels into them, and count what is lost."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from convnext_dense.data.decoding import Header, read_header
from convnext_dense.data.formats.geometry import (
    Box,
    area,
    box_polygon,
    cut,
    extent,
    turned,
    turned_mask,
)
from convnext_dense.data.formats.grouping import ShapeError, decode, encode, rle_box
from convnext_dense.data.formats.listing import Listing
from convnext_dense.data.formats.source import Loss, Object, Picture, Pixels
from convnext_dense.data.formats.splits import split_of_file
from convnext_dense.data.rules.field_kinds import FARTHEST
from convnext_dense.text import one_line

# Pixels beyond the edge that come from rounding: cut off without a word.
_SLACK = 0.5


class Reader:
    """A source in one format; see :class:`~convnext_dense.data.formats.source.Source`.

    A subclass yields its pictures in :meth:`read`, with :meth:`lose` for what is lost.

    Args:
        listing: The source's files.
        classes: Names of the classes, if the source lacks them.
    """

    format: str

    def __init__(self, listing: Listing, classes: Sequence[str] | None = None) -> None:
        self.listing, self.root = listing, listing.given or listing.root
        self.folders: tuple[Path, ...] = (listing.root, listing.image_root)
        self.given_classes = tuple(classes or ())
        self.losses: list[Loss] = []

    def read(self) -> Iterator[Picture]:
        """Yield the pictures as :meth:`pictures` does."""
        raise NotImplementedError

    def pictures(self) -> Iterator[Picture]:
        """Yield the pictures, one at a time; what is lost is counted anew."""
        self.losses = []
        seen: set[str] = set()
        for picture in self.read():
            if picture.name in seen:
                what = "pictures that are labelled twice: the first is kept"
                self.lose(what, picture.name, len(picture.objects), error=True)
            else:
                seen.add(picture.name)
                yield picture

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.given_classes

    @cached_property
    def pixels(self) -> Pixels:
        """What the pixels of label maps mean."""
        return {}

    @property
    def about(self) -> int:
        """About how many pictures there are."""
        return len(self.listing.pictures)

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.classes)

    def lose(
        self, what: str, place: str, objects: int = 0, *, error: bool = False, pictures: int = 0
    ) -> None:
        """Count something that is not in the result, or is there in another form."""
        self.losses.append(Loss(what, place, objects, error, pictures))

    def path(self, name: str) -> Path:
        """Return the path of a picture."""
        return self.listing.image_root / name

    def lose_shape(self, error: Exception, otherwise: str, place: str) -> None:
        """Count an object that cannot be read, by the message if the error is a ShapeError."""
        what = str(error) if isinstance(error, ShapeError) else otherwise
        self.lose(what, place, 1, error=True)

    def lose_unlisted(self, listed: Container[str]) -> None:
        """Count the pictures that none of the files lists which list all of theirs."""
        # Of a file that was given alone, the folder may hold pictures of other files too.
        for name in () if self.listing.given else self.listing.pictures:
            if name not in listed:
                self.lose("pictures that no file lists are left out", name, pictures=1)

    def measure(self, name: str, objects: int = 0) -> Header | None:
        """Return the header of a picture, which has its size.

        Args:
            name: Its name.
            objects: How many were labelled in it.

        Returns:
            None if it cannot be read, which is counted with its objects.
        """
        reason = "it is not a picture"
        header = None
        try:
            header = read_header(str(self.path(name)), name)
        except (OSError, ValueError) as error:
            reason = one_line(error)
        if header is None or min(header.size) < 1:
            place = f"{name}: {reason}"
            self.lose("pictures that cannot be read", place, objects, error=True, pictures=1)
            return None
        return header

    def fitted(
        self,
        name: str,
        header: Header,
        objects: Iterable[Object] = (),
        *,
        stated: tuple[int, int] | None = None,
        split: str | None = None,
        label_map: Path | None = None,
    ) -> Picture:
        """Return a picture with its objects, which are cut to it.

        Args:
            name: Its name.
            header: Its header.
            objects: What was labelled, in pixels as the labels count them.
            stated: (width, height) in the labels; None if they state none.
            split: See :class:`Picture`.
            label_map: See :class:`Picture`.
        """
        size = header.shown_size
        is_unturned = stated == header.size != size
        if is_unturned:
            self.lose("labels of the unturned picture were turned as its EXIF says", name)
        elif stated and stated != size and min(stated) > 0:
            self.lose(
                "labels that state another size than their picture has: its own is taken",
                f"{name}: {size[0]} x {size[1]}, stated {stated[0]} x {stated[1]}",
                error=True,
            )
        kept = []
        for one in objects:
            fit = self._fit(_turned(one, header) if is_unturned else one, size)
            if fit:
                kept.append(fit)
        return Picture(self.path(name), name, *size, tuple(kept), split, label_map)

    def unlabelled(self, used: Container[str]) -> Iterator[Picture]:
        """Yield the pictures that no label file is of."""
        for name in self.listing.pictures:
            if name not in used:
                header = self.measure(name)
                if header:
                    self.lose("pictures without labels are kept as empty", name)
                    yield self.fitted(name, header, split=split_of_file(name))

    def _fit(self, one: Object, size: tuple[int, int]) -> Object | None:
        """Cut an object to its picture; count what is cut, and return None if nothing is left."""
        if one.label not in self._known:
            self.lose("objects of a class that is not among the names", one.place, 1, error=True)
            return None
        if one.rle is not None and tuple(one.rle.get("size", ())) != size[::-1]:
            self.lose("masks of another size than their picture", one.place, 1, error=True)
            return None
        # Plain numbers are much faster than arrays of two corners.
        extents = [one.box, *(extent((part,)) for part in one.polygons if len(part))]
        if not all(abs(number) <= FARTHEST for edges in extents for number in edges):  # NaN too
            self.lose("coordinates that are no numbers of a picture", one.place, 1, error=True)
            return None
        has_outline = bool(one.polygons)
        if has_outline:
            parts = tuple(part for part in one.polygons if _has_area(part))
            if not parts:
                self.lose("outlines of no area", one.place, 1, error=True)
                return None
            if len(parts) < len(one.polygons):
                self.lose("parts of outlines that have no area are left out", one.place, error=True)
                one = replace(one, polygons=parts)
        if not _is_box(one.box):
            if not (has_outline or one.rle):
                self.lose("boxes of no area", one.place, 1, error=True)
                return None
            self.lose("boxes of no area: that of the outline is taken", one.place, error=True)
            box = extent(one.polygons) if one.rle is None else rle_box(one.rle)
            one = replace(one, box=box)
        beyond = max(_beyond(edges, size) for edges in extents)
        if beyond <= 0:
            return one
        box = _cut_box(one.box, size)
        cut_parts = (_cut_polygon(part, size) for part in one.polygons)
        polygons = tuple(part for part in cut_parts if _has_area(part))
        if not _is_box(box) or (has_outline and not polygons):
            self.lose("objects wholly outside of their picture", one.place, 1, error=True)
            return None
        if beyond > _SLACK:
            self.lose("cut off at the edge of the picture", one.place)
        return replace(one, box=box, polygons=polygons)


def stated_size(width: object, height: object) -> tuple[int, int] | None:
    """Return the size that labels state in numbers or texts, or None."""
    width, height = (
        int(side) if isinstance(side, str) and side.strip().isdecimal() else side
        for side in (width, height)
    )
    return (width, height) if isinstance(width, int) and isinstance(height, int) else None


def outlined(
    label: str, polygons: Sequence[np.ndarray], place: str, *, ignored: bool = False
) -> Object:
    """Return an object whose box is the extent of its (N, 2) polygons."""
    parts = tuple(np.asarray(part, np.float64).reshape(-1, 2) for part in polygons)
    return Object(label, extent(parts), parts, ignored=ignored, place=place)


def _has_area(polygon: np.ndarray) -> bool:
    return len(polygon) > 2 and area(polygon) > 0


def _is_box(box: Box) -> bool:
    return box[2] > box[0] and box[3] > box[1]


def _beyond(edges: Box, size: tuple[int, int]) -> float:
    """Return how many pixels edges are beyond those of the picture; below 0 if they are inside."""
    return max(-edges[0], -edges[1], edges[2] - size[0], edges[3] - size[1])


def _cut_box(box: Box, size: tuple[int, int]) -> Box:
    width, height = size
    x1, x2 = (float(min(max(x, 0), width)) for x in box[::2])
    y1, y2 = (float(min(max(y, 0), height)) for y in box[1::2])
    return x1, y1, x2, y2


def _cut_polygon(polygon: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    beyond = _beyond(extent((polygon,)), size)
    return cut(polygon, *size) if beyond > _SLACK else np.clip(polygon, 0, size)


def _turned(one: Object, header: Header) -> Object:
    """Return an object of the stored picture as it is in the shown one."""
    orientation, stored = header.orientation, header.size
    corners = turned(box_polygon(one.box), orientation, stored)
    parts = tuple(turned(part, orientation, stored) for part in one.polygons)
    rle = one.rle and encode(turned_mask(decode(one.rle), orientation))
    return replace(one, box=extent((corners,)), polygons=parts, rle=rle)
