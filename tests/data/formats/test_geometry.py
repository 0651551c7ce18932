"""Cutting, turning and drawing outlines."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from convnext_dense.data.formats.geometry import area, cut, turned, turned_mask
from convnext_dense.data.formats.grouping import decode, encode

POINTS = st.lists(st.tuples(*[st.integers(-40, 80)] * 2), min_size=3, max_size=9)


def convex(points):
    """The hull of points, in order (Andrew's monotone chain)."""
    points = sorted(set(points))
    halves = []
    for ordered in (points, points[::-1]):
        half = []
        for x, y in ordered:
            while len(half) > 1 and (half[-1][0] - half[-2][0]) * (y - half[-2][1]) <= (
                half[-1][1] - half[-2][1]
            ) * (x - half[-2][0]):
                half.pop()
            half.append((x, y))
        halves.append(half[:-1])
    return np.array(halves[0] + halves[1], np.float64).reshape(-1, 2)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(POINTS)
def test_what_is_cut_is_the_part_inside(points):
    hull = convex(points)
    if len(hull) < 3:
        return
    inside = cut(hull, 40, 30)
    assert not len(inside) or (inside.min() >= 0 and (inside <= (40, 30)).all())
    # The edges of a convex outline, tested at the middle of each square of a grid.
    grid = np.stack(np.meshgrid(np.arange(0.05, 40, 0.1), np.arange(0.05, 30, 0.1)), -1)
    edges = np.roll(hull, -1, 0) - hull
    sides = [
        x * (grid[..., 1] - b) - y * (grid[..., 0] - a)
        for (x, y), (a, b) in zip(edges, hull, strict=True)
    ]
    covered = np.all(np.array(sides) >= 0, 0).sum() * 0.01
    assert (area(inside) if len(inside) > 2 else 0) == pytest.approx(covered, abs=3)


def test_an_outline_inside_stays_as_it_is():
    outline = np.array([(1, 2), (30.25, 4), (12, 29.5), (10, 10)])
    np.testing.assert_array_equal(cut(outline, 40, 30), outline)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_labels_turn_as_pillow_turns_the_picture(orientation):
    stored = np.random.default_rng(0).integers(0, 2, (3, 5)).astype(np.uint8)
    image = Image.fromarray(stored)
    image.getexif()[0x0112] = orientation
    shown = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(turned_mask(stored, orientation), shown)
    for row, column in np.argwhere(stored):
        ((x, y),) = turned(np.array([(column + 0.5, row + 0.5)]), orientation, (5, 3))
        assert shown[int(y), int(x)] == 1


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_masks_survive_run_lengths(height, width, seed):
    mask = np.random.default_rng(seed).integers(0, 2, (height, width)).astype(bool)
    np.testing.assert_array_equal(decode(encode(mask)), mask)
