"""Bring the masks of objects to the size of the picture."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from convnext_dense_runtime.resize import resize_maps


def paste_masks(
    masks: np.ndarray, boxes: np.ndarray, shape: tuple[int, int], threshold: float
) -> np.ndarray:
    """Paste masks on the grids of their boxes, as mmdet's ``_do_paste_mask`` does.

    Bilinear sampling of a grid is a product with one small matrix per axis.

    Args:
        masks: (N, h, w) float32.
        boxes: (N, 4) as x1, y1, x2, y2 in pixels of the picture.
        shape: (height, width) of the picture.
        threshold: Pixels at or above it belong to the object.

    Returns:
        (N, height, width) bool.
    """
    pasted = np.zeros((len(masks), *shape), bool)
    for mask, (x1, y1, x2, y2), whole in zip(masks, boxes, pasted, strict=True):
        top, down = _sampler(y1, y2, shape[0], mask.shape[0])
        left, across = _sampler(x1, x2, shape[1], mask.shape[1])
        part = down @ mask @ across.T >= threshold
        whole[top : top + part.shape[0], left : left + part.shape[1]] = part
    return pasted


def resize_masks(
    masks: np.ndarray,
    shape: tuple[int, int],
    threshold: float,
    shares: Sequence[float] = (1.0, 1.0),
) -> np.ndarray:
    """Resize masks on grids over the whole input.

    Args:
        masks: (N, h, w) float32.
        shape: (height, width) of the picture.
        threshold: Pixels above it belong to the object.
        shares: The parts of the input's height and width that the picture covers.

    Returns:
        (N, height, width) bool.
    """
    resized = np.empty((len(masks), *shape), bool)
    covered = [cells * share for cells, share in zip(masks.shape[1:], shares, strict=True)]
    rows, columns = map(math.ceil, covered)
    for number, mask in enumerate(masks[:, :rows, :columns, None]):
        resized[number] = resize_maps(mask, shape, covered=covered)[..., 0] > threshold
    return resized


def _sampler(first: float, last: float, length: int, cells: int) -> tuple[int, np.ndarray]:
    """Return the first pixel near a box along one axis, and the weights of the cells at each.

    Args:
        first: Where the box begins, in pixels.
        last: Where it ends.
        length: Pixels of the picture.
        cells: Cells of the mask.

    Returns:
        The index of the first pixel, and (pixels, cells) float32. Beyond the mask weights are 0.
    """
    begin = int(max(np.floor(first) - 1, 0))
    end = int(min(np.ceil(last) + 1, length))
    centres = np.arange(begin, end, dtype=np.float32) + np.float32(0.5)
    with np.errstate(divide="ignore", invalid="ignore"):  # a box without extent
        places = (centres - first) / (last - first) * 2 - 1
    places[np.isinf(places)] = 0
    places = ((places + 1) * cells - 1) / 2
    # A cell's weight falls from 1 at its centre to 0 at its neighbours'.
    weights = np.maximum(1 - abs(places[:, None] - np.arange(cells, dtype=np.float32)), 0)
    return min(begin, length), weights.astype(np.float32)
