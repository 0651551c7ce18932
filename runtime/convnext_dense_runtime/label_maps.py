"""Turn a segmenter's logits into a map of labels: sliding windows, resizing, the best class."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from convnext_dense_runtime.metadata import Metadata
from convnext_dense_runtime.resize import resize_maps

# Values that are resized at a time, so that a large picture with many classes fits into memory.
_VALUES_AT_ONCE = 2**24

# (B, C, h, w) → (B, K, h, w)
Network = Callable[[np.ndarray], np.ndarray]


def slide(
    run: Network, image: np.ndarray, sliding: tuple[int, int, int, int], batch_size: int
) -> np.ndarray:
    """Return the average of the logits of windows, as mmseg's ``slide_inference``.

    Args:
        run: Returns the logits of a batch.
        image: (C, H, W).
        sliding: Height and width of the window, then of its stride.
        batch_size: Most windows in a batch.

    Returns:
        (K, H, W).
    """
    windows = list(_windows(image.shape[1:], sliding))
    total, counts = None, np.zeros(image.shape[1:], np.float32)
    for start in range(0, len(windows), batch_size):
        batch = windows[start : start + batch_size]
        logits = run(np.stack([image[:, rows, columns] for rows, columns in batch]))
        if total is None:
            total = np.zeros((logits.shape[1], *image.shape[1:]), np.float32)
        for (rows, columns), one in zip(batch, logits, strict=True):
            total[:, rows, columns] += one
            counts[rows, columns] += 1
    assert total is not None  # there is a window
    return total / counts


def _windows(
    shape: tuple[int, ...], sliding: tuple[int, int, int, int]
) -> Iterator[tuple[slice, slice]]:
    """Yield windows that cover a picture; the last ones are moved back into it."""
    axes = []
    for length, window, stride in zip(shape, sliding[:2], sliding[2:], strict=True):
        number = max(length - window + stride - 1, 0) // stride + 1
        ends = [min(i * stride + window, length) for i in range(number)]
        axes.append([slice(max(end - window, 0), end) for end in ends])
    for rows in axes[0]:
        for columns in axes[1]:
            yield rows, columns


def label_map(logits: np.ndarray, shape: tuple[int, int], facts: Metadata) -> np.ndarray:
    """Return the label of every pixel of a picture.

    Args:
        logits: (K, h, w), on a grid over the whole picture.
        shape: The picture's (height, width).
        facts: Of the model.

    Returns:
        (height, width) uint8.
    """
    if 1 < len(logits) <= 256 and logits.shape[1:] == tuple(shape):  # nothing to resize
        return _highest(logits)
    labels = np.empty(shape, np.uint8)
    # The classes of a pixel beside each other: the best of them is found fastest so.
    maps = np.ascontiguousarray(logits.transpose(1, 2, 0))
    step = max(1, _VALUES_AT_ONCE // (shape[1] * maps.shape[2]))
    for start in range(0, shape[0], step):
        rows = slice(start, min(start + step, shape[0]))
        values = resize_maps(maps, shape, align_corners=facts.align_corners, rows=rows)
        if values.shape[2] == 1:
            with np.errstate(over="ignore"):
                labels[rows] = 1 / (1 + np.exp(-values[..., 0])) > facts.threshold
        else:
            labels[rows] = values.argmax(axis=2)
    return labels


def _highest(logits: np.ndarray) -> np.ndarray:
    """Return the first class that has a pixel's highest value: ``argmax``, in a tenth of its time.

    Args:
        logits: (K, H, W).
    """
    best = logits[0].copy()
    labels = np.zeros(best.shape, np.uint8)
    for number, values in enumerate(logits[1:], 1):
        higher = values > best
        # Numbers grow, so a later one is larger than what it replaces.
        np.maximum(labels, higher.view(np.uint8) * np.uint8(number), out=labels)
        np.maximum(best, values, out=best)
    return labels
