"""The pictures whose values set the ranges of 8-bit integers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.nn import functional

from convnext_dense_runtime import Model

# With fewer, or with alike ones, the ranges are those of these pictures alone.
LEAST = 4
# More do not change the ranges, but take time: an even choice is taken then.
MOST = 128
# Pictures are alike where no part of them differs by more, of 255 in colour.
ALIKE = 2.0
_PARTS = 8  # per axis


def check_number(paths: Sequence[str]) -> None:
    """Refuse too few pictures.

    Raises:
        ValueError: If they are fewer than ``LEAST``.
    """
    if len(paths) < LEAST:
        raise ValueError(
            f"`int8` names {len(paths)} calibration picture{'s' if len(paths) > 1 else ''}, "
            f"too few: give {LEAST} or more, best some dozens of the training pictures"
        )


class Calibration:
    """Pictures as a model takes them, which may be iterated over several times.

    Args:
        model: Reads and prepares the pictures.
        paths: Of the pictures.

    Attributes:
        paths: Of those that are used.

    Raises:
        ValueError: If they are too few or all alike, or one cannot be read.
    """

    def __init__(self, model: Model, paths: Sequence[str]) -> None:
        check_number(paths)
        self.model = model
        number = min(len(paths), MOST)
        self.paths = [paths[i * len(paths) // number] for i in range(number)]
        parts = np.stack([_parts(values) for values in self])
        if np.ptp(parts, axis=0).max() < ALIKE:
            raise ValueError(
                f"the {len(self.paths)} calibration pictures of `int8` are all alike: give "
                "different ones, best some dozens of the training pictures"
            )

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the input of each picture, (1, C, H, W) float32."""
        for path in self.paths:
            picture = self.model.read(path)
            try:
                yield self.model.prepare(picture)[None]
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from error


def _parts(values: np.ndarray) -> np.ndarray:
    """Return the mean of each channel in each part of a picture (1, C, H, W)."""
    return functional.adaptive_avg_pool2d(torch.from_numpy(values), _PARTS)[0].numpy()
