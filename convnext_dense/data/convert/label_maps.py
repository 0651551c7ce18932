"""Draw objects into label maps, and take objects out of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from convnext_dense.data.convert.classes import UNLABELLED
from convnext_dense.data.convert.objects import mask_of
from convnext_dense.data.shapes import annotate

BACKGROUND = "background"
# Classes that are no objects.
NO_OBJECTS = frozenset((BACKGROUND, "_background_", "bg", *UNLABELLED))
# Connected pixels below this number are no object, but what a brush left.
SPECK = 10


def draw(annotations: Sequence[dict], size: tuple[int, int], rest: int) -> tuple[np.ndarray, int]:
    """Draw objects into a label map, the larger first: smaller ones lie on top.

    Args:
        annotations: COCO annotations with a segmentation; the ``category_id`` becomes the label.
        size: (width, height).
        rest: The label where there is no object.

    Returns:
        (H, W) uint8, and how many objects are hidden completely.
    """
    owner = np.full(size[::-1], -1, np.int32)
    # Equally large ones keep their order.
    order = sorted(range(len(annotations)), key=lambda index: -annotations[index]["area"])
    for index in order:
        owner[mask_of(annotations[index], size)] = index
    labels = np.array([*(a["category_id"] for a in annotations), rest], np.uint8)
    hidden = len(annotations) - len(np.setdiff1d(np.unique(owner), [-1]))
    return labels[owner], hidden


def objects_in(labels: np.ndarray) -> Iterator[dict | None]:
    """Yield the connected parts of each class of a label map as COCO annotations.

    Pixels that touch at a corner are connected.

    Args:
        labels: (H, W) uint8; the label becomes the ``category_id``, and 0 is nothing.

    Yields:
        An annotation without ids, or None for a speck.
    """
    for label in np.unique(labels).tolist():
        if label == 0:
            continue
        number, parts, stats, _ = cv2.connectedComponentsWithStats(
            (labels == label).astype(np.uint8), connectivity=8
        )
        for part in range(1, number):
            if stats[part, cv2.CC_STAT_AREA] < SPECK:
                yield None
                continue
            x, y, w, h = stats[part, :4].tolist()
            yield dict(category_id=label, **_annotate(parts, part, (x, y, w, h)))


def write_map(path: Path, labels: np.ndarray) -> None:
    """Write an (H, W) uint8 label map as a PNG of one channel."""
    Image.fromarray(labels).save(path, format="PNG")


def _annotate(parts: np.ndarray, part: int, box: tuple[int, int, int, int]) -> dict:
    """Return the annotation of one connected part, whose box is x, y, width and height."""
    x, y, w, h = box
    found = annotate(parts[y : y + h, x : x + w] == part, False)
    if isinstance(found["segmentation"], list):
        found["segmentation"] = [
            [value + (x, y)[index % 2] for index, value in enumerate(polygon)]
            for polygon in found["segmentation"]
        ]
        found["bbox"] = [found["bbox"][0] + x, found["bbox"][1] + y, *found["bbox"][2:]]
        return found
    return annotate(parts == part, False)
