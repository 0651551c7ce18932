"""Pictures of any channels and values, as they are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from convnext_dense_runtime.drawable import as_drawable


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 13])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_first_three_bands_are_drawn(channels, dtype):
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, channels)).astype(dtype)
    drawn = as_drawable(picture)
    assert (drawn.shape, drawn.dtype) == ((5, 7, 3), np.uint8)
    for band in range(3):
        source = 0 if channels == 1 else band
        expected = picture[..., source] if source < channels else np.zeros((5, 7))
        np.testing.assert_array_equal(drawn[..., band], expected)


def test_a_grey_picture_may_lack_the_axis_of_channels():
    assert (as_drawable(np.full((5, 7), 9, np.uint8)) == 9).all()


@pytest.mark.parametrize(
    "picture",
    [
        np.array([[0, 4095]], np.uint16),
        np.array([[-1e4, 1e4]], np.float32),
        np.array([[0.0, 1.0, 0.5]], np.float32),
    ],
)
def test_other_ranges_are_stretched(picture):
    drawn = as_drawable(picture)
    assert drawn.min() == 0 and drawn.max() == 255


@pytest.mark.parametrize("value", [0, 1, 4095])
def test_a_picture_of_one_value(value):
    assert as_drawable(np.full((2, 2, 3), value, np.uint16)).shape == (2, 2, 3)


def test_what_is_a_little_out_of_range_is_cut(nan=np.nan):
    picture = np.array([[-3.0, 260.0, 100.4, nan]], np.float32)
    assert as_drawable(picture)[0, :, 0].tolist() == [0, 255, 100, 0]
