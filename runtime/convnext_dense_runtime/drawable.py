"""Convert pictures of any channels and values so that they can be drawn on."""

from __future__ import annotations

import numpy as np

_BRIGHTEST = 255


def as_drawable(picture: np.ndarray) -> np.ndarray:
    """Return the first three bands of a picture as blue, green and red.

    Args:
        picture: (H, W) or (H, W, C). One band becomes grey, two become blue and green.

    Returns:
        (H, W, 3) uint8. Values of more than 8 bits, and fractions up to 1, are stretched.
    """
    bands = picture.reshape(*picture.shape[:2], -1)[..., :3]
    if bands.dtype != np.uint8:
        bands = np.nan_to_num(bands.astype(np.float32))
        highest = bands.max(initial=0)
        # Augmentation may exceed 255 a little, which does not mean another range.
        if highest > 2 * _BRIGHTEST or (highest <= 1 and np.any(abs(bands - bands.round()) > 0.01)):
            lowest = bands.min()
            bands = (bands - lowest) * (_BRIGHTEST / max(highest - lowest, 1e-6))
        bands = bands.round().clip(0, _BRIGHTEST).astype(np.uint8)
    if bands.shape[2] == 1:
        bands = bands.repeat(3, axis=2)
    elif bands.shape[2] == 2:
        bands = np.concatenate([bands, np.zeros_like(bands[..., :1])], axis=2)
    return np.ascontiguousarray(bands)
