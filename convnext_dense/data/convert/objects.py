"""Write objects as COCO's annotations, and find objects that two sources have both."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from convnext_dense.data.formats.source import Object
from convnext_dense.data.rules.run_lengths import counts_fill_masks, rle_problem

# Digits after the point of a pixel.
_DIGITS = 3
# Two boxes of a class in one picture are the same object if no edge is farther than these pixels,
# which formats with whole numbers cause, or if they overlap with this IoU.
_NEAR_PIXELS, _NEAR_IOU = 1.5, 0.7


def annotation_of(
    thing: Object, category: int, size: tuple[int, int], remark: Callable[[str], None]
) -> dict | str:
    """Return the COCO annotation of an object that lies in its picture, without ids of its own.

    Args:
        thing: The object.
        category: Its ``category_id``.
        size: (width, height) of the picture.
        remark: Called with a line about what is written in another form.

    Returns:
        ``category_id``, ``bbox``, ``area``, ``iscrowd``, and ``segmentation`` if it has a mask; or
        a line that says why there is none.
    """
    x1, y1, x2, y2 = thing.box
    written = dict(
        category_id=category,
        bbox=[round(float(side), _DIGITS) for side in (x1, y1, x2 - x1, y2 - y1)],
        area=round(float((x2 - x1) * (y2 - y1)), _DIGITS),
        # COCO's word for what a detector is neither rewarded nor punished for.
        iscrowd=int(thing.crowd or thing.ignored),
    )
    if thing.ignored:
        remark("difficult objects: written as iscrowd, neither rewarded nor punished for")
    if thing.polygons:
        parts = [part.round(_DIGITS) for part in thing.polygons]
        written["segmentation"] = [part.ravel().tolist() for part in parts]
        written["area"] = round(sum(map(_area, parts)), _DIGITS)
    elif thing.rle is not None:
        problem = rle_problem(thing.rle, size[::-1])
        if problem is None and not isinstance(thing.rle["counts"], list):
            whole = counts_fill_masks([thing.rle["counts"]], [size[0] * size[1]])[0]
            problem = None if whole else "run lengths (RLE) that cannot be decoded"
        if problem:
            return problem
        written["segmentation"] = _as_json(thing.rle)
        written["area"] = float(mask_of(written, size).sum())
    return written


def mask_of(annotation: dict, size: tuple[int, int]) -> np.ndarray:
    """Return the mask of an annotation with a segmentation, (H, W) uint8, as COCO draws it."""
    from pycocotools import mask

    shape = annotation["segmentation"]
    if isinstance(shape, list):
        rle = mask.merge(mask.frPyObjects(shape, size[1], size[0]))
    elif isinstance(shape["counts"], list):
        rle = mask.frPyObjects(shape, size[1], size[0])
    else:
        rle = shape
    return mask.decode(rle)


def join(known: list[dict], others: Sequence[dict]) -> int:
    """Add the annotations of a picture that another source has too, each object once.

    Of an object that both have, the one with a mask is kept, or else the first.

    Args:
        known: Annotations of the picture; changed in place.
        others: Those of the other source.

    Returns:
        How many of the others were there already.
    """
    free = list(range(len(known)))
    twice = 0
    for other in others:
        same = next((i for i in free if _is_same(known[i], other)), None)
        if same is None:
            known.append(other)
            continue
        twice += 1
        free.remove(same)
        if "segmentation" in other and "segmentation" not in known[same]:
            known[same] = other
    return twice


def _is_same(one: dict, other: dict) -> bool:
    if one["category_id"] != other["category_id"]:
        return False
    a, b = (np.array(thing["bbox"], np.float64) for thing in (one, other))
    a[2:] += a[:2]
    b[2:] += b[:2]
    if np.abs(a - b).max() <= _NEAR_PIXELS:
        return True
    shared = (np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])).clip(0).prod()
    union = (a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared
    return bool(shared >= _NEAR_IOU * union)


def _area(polygon: np.ndarray) -> float:
    """Return the area of an (N, 2) polygon in square pixels."""
    x, y = (polygon - polygon[0]).T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def _as_json(rle: dict) -> dict:
    counts = rle["counts"]
    return dict(
        size=[int(side) for side in rle["size"]],
        counts=counts.decode() if isinstance(counts, bytes) else counts,
    )
