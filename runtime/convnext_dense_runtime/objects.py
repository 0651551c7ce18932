"""Turn a detector's outputs into the objects of a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from convnext_dense_runtime.masks import measure_masks, paste_masks, resize_masks
from convnext_dense_runtime.metadata import Metadata
from convnext_dense_runtime.results import Detections


@dataclass(frozen=True)
class Sizes:
    """(height, width) on the way of a picture into the network.

    Attributes:
        picture: As it was given.
        resized: After it was resized.
        image: Of the input, in which the resized picture is at the top left.
    """

    picture: tuple[int, int]
    resized: tuple[int, int]
    image: tuple[int, int]


def find_objects(
    outputs: Mapping[str, np.ndarray],
    facts: Metadata,
    sizes: Sizes,
    score: float,
) -> Detections:
    """Return the objects of a picture.

    Args:
        outputs: Of the graph, without the number of pictures: see
            :mod:`convnext_dense_runtime.metadata`.
        facts: Of the model.
        sizes: Of the picture.
        score: Leave out detections whose score is not above this.

    Raises:
        ValueError: If the outputs are not what the metadata says.
    """
    boxes, scores, labels = (outputs[name] for name in ("boxes", "scores", "labels"))
    if boxes.shape != (len(scores), 4) or scores.ndim != 1 or labels.shape != scores.shape:
        raise ValueError(
            f"the graph returned boxes {boxes.shape}, scores {scores.shape} and labels "
            f"{labels.shape}: export the model again"
        )
    kept = np.flatnonzero(scores > max(score, 0))  # empty rows have score 0
    kept = kept[np.argsort(-scores[kept], kind="stable")]
    # To pixels of the picture. mmdet divides in float32 too.
    ratios = [new / old for new, old in zip(sizes.resized, sizes.picture, strict=True)]
    factors = np.array(ratios[::-1] * 2, np.float32)
    boxes = boxes[kept] / factors
    labels = labels[kept].astype(np.int64)
    if not np.isfinite(boxes).all() or not np.isin(labels, range(len(facts.classes))).all():
        raise ValueError(
            "the graph returned boxes that are not finite, or labels beyond the "
            f"{len(facts.classes)} classes: export the model again"
        )
    masks = None
    if facts.masks is not None:
        found = outputs["masks"]
        if found.ndim != 3 or len(found) != len(scores):
            raise ValueError(f"the graph returned masks {found.shape}: export the model again")
        found, threshold = found[kept], facts.mask_threshold
        if facts.masks == "box":
            masks = paste_masks(found, boxes, sizes.picture, threshold)
        elif facts.mask_family != "mask2former":
            masks = resize_masks(found, sizes.picture, threshold, _covered(found, facts, sizes))
        else:
            covered = _covered(found, facts, sizes)
            masks, boxes, gains = measure_masks(found, sizes.picture, covered)
            measured = scores[kept] * gains
            order = np.argsort(-measured, kind="stable")
            order = order[measured[order] > score]
            picked = boxes[order], measured[order], labels[order], masks[order]
            return Detections(*picked, facts.classes)
    return Detections(boxes, scores[kept], labels, masks, facts.classes)


def _covered(masks: np.ndarray, facts: Metadata, sizes: Sizes) -> list[float]:
    """Return the cells of masks over the whole input that the picture covers, in each direction."""
    cells = masks.shape[1:]
    if facts.mask_family != "rtmdet":
        shares = [part / whole for part, whole in zip(sizes.resized, sizes.image, strict=True)]
        return [number * share for number, share in zip(cells, shares, strict=True)]
    # mmdet multiplies the height by the ratio of widths, and the width by that of heights.
    factors = [1 / (new / old) for new, old in zip(sizes.resized, sizes.picture, strict=True)]
    enlarged = [
        math.ceil(side * factor) for side, factor in zip(sizes.image, factors[::-1], strict=True)
    ]
    return [
        number * shown / whole
        for number, shown, whole in zip(cells, sizes.picture, enlarged, strict=True)
    ]
