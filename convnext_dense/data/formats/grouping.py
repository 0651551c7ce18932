"""Join the shapes of one object, and draw masks as COCO's run lengths."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from convnext_dense.data.formats.geometry import Box, area, box_polygon, extent
from convnext_dense.data.formats.source import Object
from convnext_dense.data.rules.run_lengths import compressed


class ShapeError(ValueError):
    """A shape that cannot be read; the message is for people, and equal for all of its kind."""


def encode(mask: np.ndarray) -> dict:
    """Return COCO's run lengths of an (H, W) mask, with counts as text."""
    from pycocotools.mask import encode

    rle = encode(np.asfortranarray(mask, np.uint8))
    return {"size": list(mask.shape), "counts": rle["counts"].decode("ascii")}


def decode(rle: dict) -> np.ndarray:
    """Return the (H, W) bool mask of run lengths, whose counts were checked."""
    from pycocotools.mask import decode

    return decode(compressed(rle)).astype(bool)


def rle_box(rle: dict) -> Box:
    """Return x1, y1, x2, y2 around the pixels of run lengths, whose counts were checked."""
    from pycocotools.mask import toBbox

    x, y, w, h = toBbox(compressed(rle)).tolist()
    return x, y, x + w, y + h


def area_of(one: Object) -> float:
    """Return the area of an object's mask, else of its box, in square pixels."""
    from pycocotools.mask import area as count_pixels

    if one.rle is not None:
        return float(count_pixels(compressed(one.rle)))
    return sum(map(area, one.polygons or (box_polygon(one.box),)))


def mask_object(label: str, part: np.ndarray, left: int, top: int, size: tuple[int, int]) -> Object:
    """Return the object of an (H, W) mask that stands at a place of its picture.

    Args:
        label: Its class.
        part: The mask, which is cut to the picture.
        left: Of its first column.
        top: Of its first row.
        size: (width, height) of the picture.

    Raises:
        ShapeError: If no pixel of the mask is in the picture.
    """
    width, height = size
    rows, columns = np.nonzero(part)
    rows, columns = rows + top, columns + left
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    rows, columns = rows[inside], columns[inside]
    if not len(rows):
        raise ShapeError("masks without a pixel in the picture")
    mask = np.zeros((height, width), np.uint8)
    mask[rows, columns] = 1
    box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    x1, y1, x2, y2 = map(float, box)
    return Object(label, (x1, y1, x2, y2), rle=encode(mask))


def joined(shapes: Iterable[tuple[Object, object]]) -> Iterator[Object]:
    """Yield the objects, those of one class and one group as one.

    Args:
        shapes: Objects with their group; None if they have none.
    """
    groups: dict[object, list[Object]] = {}
    for index, (one, group) in enumerate(shapes):
        key = ("alone", index) if group is None else (one.label, str(group))
        groups.setdefault(key, []).append(one)
    for members in groups.values():
        yield members[0] if len(members) == 1 else _join(members)


def _join(members: list[Object]) -> Object:
    first = members[0]
    box = extent(tuple(np.reshape(one.box, (2, 2)) for one in members))
    if any(one.rle for one in members):
        return replace(first, box=box, polygons=(), rle=_union(members))
    if not any(one.polygons for one in members):
        return replace(first, box=box)
    parts = (one.polygons or (box_polygon(one.box),) for one in members)
    return replace(first, box=box, polygons=tuple(part for own in parts for part in own))


def _union(members: list[Object]) -> dict:
    from pycocotools.mask import frPyObjects, merge

    height, width = next(one.rle["size"] for one in members if one.rle)
    coded = []
    for one in members:
        if one.rle:
            coded.append(compressed(one.rle))
        else:
            parts = one.polygons or (box_polygon(one.box),)
            coded += frPyObjects([part.ravel().tolist() for part in parts], height, width)
    whole = merge(coded)
    return {"size": [height, width], "counts": whole["counts"].decode("ascii")}
