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
    masks: np.ndarray, shape: tuple[int, int], threshold: float, covered: Sequence[float]
) -> np.ndarray:
    """Resize masks on grids over the whole input.

    Args:
        masks: (N, h, w) float32.
        shape: (height, width) of the picture.
        threshold: Pixels above it belong to the object.
        covered: The cells of the grid that the picture covers, in height and width.

    Returns:
        (N, height, width) bool.
    """
    resized = np.empty((len(masks), *shape), bool)
    for number, mask in enumerate(masks):
        resized[number] = _resize(mask, shape, covered) > threshold
    return resized


def measure_masks(
    masks: np.ndarray, shape: tuple[int, int], covered: Sequence[float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Resize masks of logits as :func:`resize_masks`, and measure them as Mask2Former does.

    Returns:
        The masks, boxes (N, 4) float32 around them, and how much higher the mean probability
        inside each is than in the input, (N,) float32.
    """
    resized = np.empty((len(masks), *shape), bool)
    boxes = np.zeros((len(masks), 4), np.float32)
    gains = np.zeros(len(masks), np.float32)
    for number, mask in enumerate(masks):
        logits = _resize(mask, shape, covered)
        resized[number] = logits > 0
        gains[number] = _quality(logits) / max(_quality(mask), np.finfo(np.float32).tiny)
        rows, columns = (np.flatnonzero(resized[number].any(axis=axis)) for axis in (1, 0))
        if len(rows):
            boxes[number] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return resized, boxes, gains


def _resize(mask: np.ndarray, shape: tuple[int, int], covered: Sequence[float]) -> np.ndarray:
    rows, columns = map(math.ceil, covered)
    return resize_maps(mask[:rows, :columns, None], shape, covered=covered)[..., 0]


def _quality(logits: np.ndarray) -> float:
    """Return the mean probability of the pixels above one half."""
    inside = logits[logits > 0]
    return float((1 / (1 + np.exp(-inside))).sum() / (len(inside) + 1e-6))


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
