"""Sizes are mmcv's, pixels OpenCV's, maps torch's, also without OpenCV."""

from __future__ import annotations

import cv2
import mmcv
import numpy as np
import pytest
import torch

from convnext_dense_runtime.metadata import Resize
from convnext_dense_runtime.resize import (
    resize_maps,
    resize_picture,
    resized_shape,
)

SIZES = [
    ((37, 53), (80, 99)),
    ((48, 64), (80, 107)),
    ((90, 121), (33, 44)),
    ((100, 200), (50, 100)),
    ((7, 5), (300, 200)),
    ((1, 9), (64, 64)),
    ((64, 1), (7, 3)),
]


@pytest.mark.parametrize("shape", [(480, 640), (640, 480), (31, 1000), (1333, 800), (799, 1332)])
@pytest.mark.parametrize("keep_ratio", [True, False])
@pytest.mark.parametrize("scale", [(1333, 800), (512, 2048), (97, 97)])
def test_sizes_are_those_of_mmcv(shape, keep_ratio, scale):
    size = shape[::-1]
    wanted = mmcv.rescale_size(size, scale) if keep_ratio else scale
    assert resized_shape(shape, Resize(scale, keep_ratio)) == wanted[::-1]
    assert resized_shape(shape, Resize(None, keep_ratio)) == shape


@pytest.mark.parametrize(("old", "new"), SIZES)
@pytest.mark.parametrize("channels", [(), (1,), (3,), (5,)])
def test_pixels_are_those_of_opencv(old, new, channels, noise, without_opencv):
    picture = noise(*old, *channels)
    wanted = cv2.resize(picture, new[::-1]).reshape(*new, *channels)
    nearest = cv2.resize(picture, new[::-1], interpolation=cv2.INTER_NEAREST)
    assert (resize_picture(picture, new) == wanted).all()
    without_opencv()
    off = abs(resize_picture(picture, new).astype(int) - wanted)
    # OpenCV rounds halves in another way if it halves a picture of more than four channels.
    assert off.max() <= (channels == (5,) and old[0] == 2 * new[0])
    assert (resize_picture(picture, new, "nearest") == nearest.reshape(*new, *channels)).all()


def test_fractions_are_those_of_opencv(noise, without_opencv):
    picture = noise(30, 40, 2).astype(np.float32) / 7
    wanted = cv2.resize(picture, (53, 71))
    without_opencv()
    assert abs(resize_picture(picture, (71, 53)) - wanted).max() < 1e-4


def test_another_interpolation_asks_for_opencv(noise, without_opencv):
    picture = noise(10, 10, 3)
    assert (
        resize_picture(picture, (7, 7), "area")
        == cv2.resize(picture, (7, 7), interpolation=cv2.INTER_AREA)
    ).all()
    without_opencv()
    with pytest.raises(ValueError, match="area interpolation, which needs OpenCV"):
        resize_picture(picture, (7, 7), "area")


@pytest.mark.parametrize(("old", "new"), SIZES)
@pytest.mark.parametrize("align_corners", [True, False])
def test_maps_are_those_of_torch(old, new, align_corners):
    maps = np.random.default_rng(0).normal(size=(*old, 4)).astype(np.float32)
    wanted = torch.nn.functional.interpolate(
        torch.from_numpy(maps).permute(2, 0, 1)[None],
        new,
        mode="bilinear",
        align_corners=align_corners,
    )[0].permute(1, 2, 0)
    resized = resize_maps(maps, new, align_corners=align_corners)
    assert abs(resized - wanted.numpy()).max() < 1e-4
    some = slice(new[0] // 3, new[0] // 3 + 2)
    part = resize_maps(maps, new, align_corners=align_corners, rows=some)
    assert (part == resized[some]).all()


def test_a_picture_fits_into_a_size_that_does_not_turn():
    assert resized_shape((200, 100), Resize((100, 50))) == (100, 50)
    assert resized_shape((200, 100), Resize((100, 50), turned=False)) == (50, 25)
