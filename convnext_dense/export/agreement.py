"""Compare the results of a model in 8-bit integers with those in float32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convnext_dense.export.verify import DifferentError
from convnext_dense_runtime import Detections, Model, Segmentation

# A detection is found again by one of its class that overlaps it so much.
IOU = 0.5
# Less certain detections say little; they count only where there are no others.
SURE = 0.3
# Below this share the model is broken.
BROKEN = 0.1


def agreement(model: Model, int8: Model, paths: Sequence[str]) -> float:
    """Return the share of what a model finds in pictures that it also finds in 8-bit integers.

    For a detector these are detections, for a segmenter the pixels of the label maps.

    Raises:
        DifferentError: If hardly anything is found again.
    """
    same = total = 0
    for path in paths:
        picture = model.read(path)
        wanted, got = model(picture)[0], int8(picture)[0]
        if isinstance(wanted, Segmentation) and isinstance(got, Segmentation):
            same += int((wanted.labels == got.labels).sum())
            total += wanted.labels.size
        elif isinstance(wanted, Detections) and isinstance(got, Detections):
            found = found_again(wanted, got)
            same += int(found.sum())
            total += len(found)
    share = same / total if total else 1.0
    if share < BROKEN:
        raise DifferentError(
            f"in 8-bit integers the model finds {share:.0%} of what it finds in float32: give more "
            "pictures as `int8`, of the kind that the model was trained with"
        )
    return share


def found_again(wanted: Detections, got: Detections) -> np.ndarray:
    """Return for each detection that is sure, or for all if none is, whether it is found again."""
    sure = wanted.scores > SURE
    rows = np.flatnonzero(sure) if sure.any() else np.arange(len(wanted))
    free = np.ones(len(got), bool)
    found = np.zeros(len(rows), bool)
    for number, row in enumerate(rows):
        overlaps = _ious(wanted.boxes[row], got.boxes)
        overlaps[~free | (got.labels != wanted.labels[row])] = 0
        if len(overlaps) and overlaps.max() >= IOU:
            free[overlaps.argmax()] = False
            found[number] = True
    return found


def _ious(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    inner = np.maximum(sides, 0).prod(1)
    outer = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(1) - inner
    return inner / np.maximum(outer, np.finfo(np.float32).tiny)
