"""What a model found in a picture, as plain numpy arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Detections:
    """Objects that a detector found, highest score first.

    Attributes:
        boxes: (N, 4) float32: x1, y1, x2, y2 in pixels of the given picture.
        scores: (N,) float32 from 0 to 1.
        labels: (N,) int64, indices into ``classes``.
        masks: (N, H, W) bool in the size of the picture, or None where the model has no masks.
        classes: Names of all classes of the model.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: np.ndarray | None
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class Segmentation:
    """The class of every pixel.

    Attributes:
        labels: (H, W) uint8 in the size of the picture, indices into ``classes``.
        classes: Names of all classes of the model.
        first_label: The number of label 0 in the data set's label maps: 1 if 0 means unlabelled
            there (``reduce_zero_label``), else 0.
    """

    labels: np.ndarray
    classes: tuple[str, ...]
    first_label: int = 0


@dataclass(frozen=True)
class Unreadable:
    """A picture that could not be read, or is of a size that the model cannot run on.

    Attributes:
        reason: Why, in one line.
    """

    reason: str


@dataclass(frozen=True)
class Prediction:
    """A picture and what was found in it.

    Attributes:
        source: The path, URL or array that was given.
        picture: (H, W, 3) uint8 in BGR order, or the first three of other channels; None if the
            result is :class:`Unreadable`.
        result: What the model found.
    """

    source: str | Path | np.ndarray
    picture: np.ndarray | None
    result: Detections | Segmentation | Unreadable
