"""Make the input of a graph from a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convnext_dense_runtime.metadata import Metadata
from convnext_dense_runtime.pictures import check_array
from convnext_dense_runtime.resize import resize_picture, resized_shape


def prepare_picture(picture: np.ndarray, facts: Metadata) -> np.ndarray:
    """Return the network's input for a picture.

    Args:
        picture: As arrays that :class:`~convnext_dense_runtime.Model` takes.
        facts: Of the model.

    Returns:
        (C, H, W) float32.

    Raises:
        ValueError: If the picture's channels or values do not fit, or it is too small.
    """
    check_array(picture, facts)
    shape = resized_shape(picture.shape[:2], facts.resize)
    whole = facts.pad.size if facts.pad else shape
    wrong = ""
    if min(shape) < 1 or _is_below(whole, facts.smallest):
        wrong = f"smaller than the {_size(facts.smallest)} that the model takes at least"
    elif _is_below(whole, shape):
        wrong = f"larger than the {_size(whole)} that it is put into"
    elif facts.size is not None and whole != facts.size:
        wrong = f"but the model was exported for {_size(facts.size)} alone"
    if wrong:
        raise ValueError(
            f"a picture of {_size(picture.shape)} pixels becomes {_size(shape)}, {wrong}"
        )
    if picture.dtype not in (np.uint8, np.uint16):
        picture = picture.astype(np.float32)
    resized = resize_picture(picture, shape, facts.resize.interpolation)
    planes = resized.reshape(*shape, -1).transpose(2, 0, 1)
    if facts.pad is None:
        return np.ascontiguousarray(planes, np.float32)
    values = np.empty((len(planes), *whole), np.float32)
    values[:] = np.array(facts.pad.value, np.float32)[:, None, None]
    values[:, : shape[0], : shape[1]] = planes
    return values


def _is_below(shape: tuple[int, int], least: tuple[int, int]) -> bool:
    return any(side < low for side, low in zip(shape, least, strict=True))


def _size(shape: Sequence[int]) -> str:
    """Return a (height, width) as people write it."""
    return f"{shape[1]} x {shape[0]}"
