"""Write objects as COCO's annotations, and find objects that two sources have both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convnext_dense.data.formats.grouping import area_of, decode
from convnext_dense.data.formats.source import Object
from convnext_dense.data.rules.boxes import are_alike, as_boxes, edges_of

# Digits after the point of a pixel.
_DIGITS = 3
# Two boxes of a class in one picture are the same object if no edge is farther than these pixels,
# which formats with whole numbers cause, or if they overlap with this IoU.
_NEAR_PIXELS, _NEAR_IOU = 1.5, 0.7


def annotation_of(thing: Object, category: int) -> dict:
    """Return the COCO annotation of an object that lies in its picture, without ids of its own.

    Args:
        thing: The object.
        category: Its ``category_id``.

    Returns:
        ``category_id``, ``bbox``, ``area``, ``iscrowd``, and ``segmentation`` if it has a mask.
    """
    x1, y1, x2, y2 = thing.box
    written = dict(
        category_id=category,
        bbox=[round(float(side), _DIGITS) for side in (x1, y1, x2 - x1, y2 - y1)],
        area=round(area_of(thing), _DIGITS),
        # COCO's word for what a detector is neither rewarded nor punished for.
        iscrowd=int(thing.crowd or thing.ignored),
    )
    if thing.polygons:
        written["segmentation"] = [part.round(_DIGITS).ravel().tolist() for part in thing.polygons]
    elif thing.rle is not None:
        written["segmentation"] = _as_json(thing.rle)
    return written


def mask_of(annotation: dict, size: tuple[int, int]) -> np.ndarray:
    """Return the mask of an annotation with a segmentation, (H, W) bool, as COCO draws it."""
    from pycocotools import mask

    shape = annotation["segmentation"]
    if not isinstance(shape, list):
        return decode(shape)
    return mask.decode(mask.merge(mask.frPyObjects(shape, size[1], size[0]))).astype(bool)


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
    boxes, others = (edges_of(as_boxes([thing])) for thing in (one, other))
    return bool(are_alike(boxes, others, _NEAR_PIXELS, _NEAR_IOU).all())


def _as_json(rle: dict) -> dict:
    counts = rle["counts"]
    return dict(
        size=[int(side) for side in rle["size"]],
        counts=counts.decode() if isinstance(counts, bytes) else counts,
    )
