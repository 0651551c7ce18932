"""Resize pictures as OpenCV and mmcv do, also where OpenCV is not installed."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import numpy as np

from convnext_dense_runtime.metadata import Resize

# OpenCV computes with whole numbers: fractions of a pixel have 11 bits.
_ONE = 2048


def resized_shape(shape: tuple[int, int], resize: Resize) -> tuple[int, int]:
    """Return the (height, width) that a picture of another one gets; mmcv's rule."""
    if resize.scale is None:
        return shape
    width, height = resize.scale
    if not resize.keep_ratio:
        return height, width
    if resize.turned and (width > height) != (shape[1] > shape[0]):
        width, height = height, width
    factor = min(width / shape[1], height / shape[0])
    return int(shape[0] * factor + 0.5), int(shape[1] * factor + 0.5)


def resize_picture(
    picture: np.ndarray, shape: tuple[int, int], interpolation: str = "bilinear"
) -> np.ndarray:
    """Resize a picture.

    Args:
        picture: (H, W) or (H, W, C), of uint8, uint16 or float32.
        shape: The new (height, width).
        interpolation: Its name in OpenCV.

    Raises:
        ValueError: If only OpenCV can do it, which is not installed.
    """
    if picture.shape[:2] == shape:
        return picture
    cv2 = opencv()
    if cv2 is not None:
        kind = dict(
            nearest=cv2.INTER_NEAREST,
            bilinear=cv2.INTER_LINEAR,
            bicubic=cv2.INTER_CUBIC,
            area=cv2.INTER_AREA,
            lanczos=cv2.INTER_LANCZOS4,
        )[interpolation]
        return cv2.resize(picture, shape[::-1], interpolation=kind).reshape(
            *shape, *picture.shape[2:]
        )
    if interpolation == "nearest":
        rows, columns = (
            np.minimum(np.arange(new) * old // new, old - 1)
            for new, old in zip(shape, picture.shape, strict=False)
        )
        return picture[rows[:, None], columns]
    if interpolation != "bilinear":
        raise ValueError(
            f"its pictures are resized by {interpolation} interpolation, which needs OpenCV: pip "
            "install opencv-python-headless"
        )
    values = picture.reshape(*picture.shape[:2], -1)
    if picture.dtype == np.uint8:
        resized = _bilinear_bytes(values, shape)
    else:
        resized = resize_maps(values, shape).astype(picture.dtype)
    return resized.reshape(*shape, *picture.shape[2:])


def opencv() -> ModuleType | None:
    """Return the module cv2, or None where it is not installed or lacks a library."""
    try:
        import cv2
    except ImportError:
        return None
    return cv2


def _positions(old: int, new: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixel before each new one, which may be -1, and the fraction beyond it."""
    centres = ((np.arange(new) + 0.5) * (old / new) - 0.5).astype(np.float32)
    before = np.floor(centres)
    return before.astype(np.int64), centres - before


def _bilinear_bytes(picture: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resize (H, W, C) of uint8 with OpenCV's own rounding."""
    height, width = picture.shape[:2]
    left, fraction = _positions(width, shape[1])
    fraction[(left < 0) | (left >= width - 1)] = 0
    left = left.clip(0, width - 1)
    part = np.rint(fraction * _ONE).astype(np.int32)[:, None]
    values = picture.astype(np.int32)
    rows = values[:, left] * (_ONE - part) + values[:, np.minimum(left + 1, width - 1)] * part
    rows >>= 4
    top, fraction = _positions(height, shape[0])
    part = np.rint(fraction * _ONE).astype(np.int32)[:, None, None]
    upper, lower = rows[top.clip(0, height - 1)], rows[(top + 1).clip(0, height - 1)]
    mixed = ((upper * (_ONE - part)) >> 16) + ((lower * part) >> 16)
    return ((mixed + 2) >> 2).clip(0, 255).astype(np.uint8)


def resize_maps(
    maps: np.ndarray,
    shape: tuple[int, int],
    *,
    align_corners: bool = False,
    rows: slice = slice(None),
    covered: Sequence[float] | None = None,
) -> np.ndarray:
    """Resize maps of numbers as torch's bilinear interpolation does.

    Args:
        maps: (H, W, K). Many channels are fast where they are contiguous.
        shape: The new (height, width).
        align_corners: As torch.
        rows: Which rows of the result to compute.
        covered: Height and width of the part of the maps that the result shows; all by default.

    Returns:
        (height, width, K) float32.
    """
    high, wide = covered or maps.shape[:2]
    above = _mix(maps, 0, high, shape[0], align_corners, rows)
    return _mix(above, 1, wide, shape[1], align_corners)


def _mix(
    maps: np.ndarray,
    axis: int,
    old: float,
    new: int,
    align_corners: bool,
    chosen: slice = slice(None),
) -> np.ndarray:
    last = maps.shape[axis] - 1
    if new == old:
        return maps[chosen] if axis == 0 else maps
    places = np.arange(new, dtype=np.float32)[chosen]
    if align_corners:
        centres = places * np.float32((old - 1) / max(new - 1, 1))
    else:
        centres = np.maximum((places + 0.5) * np.float32(old / new) - 0.5, 0)
    before = centres.astype(np.int64).clip(0, last)
    fraction = (centres - before).astype(np.float32)
    fraction = fraction.reshape(-1, *(1,) * (maps.ndim - 1 - axis))
    mixed = maps.take(before, axis) * (1 - fraction)
    mixed += maps.take(np.minimum(before + 1, last), axis) * fraction
    return mixed
