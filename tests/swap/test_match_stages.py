"""Which stages stand for which maps."""

from __future__ import annotations

import pytest

from convnext_dense.swap.match_stages import choose_sources, match_stages
from convnext_dense.swap.probe import Level, Pyramid


def pyramid(strides: tuple[int, ...], dilated: bool = False) -> Pyramid:
    return Pyramid(tuple(Level(8, stride) for stride in strides), dilated=dilated, ceil=True)


@pytest.mark.parametrize(
    ("strides", "dilated", "stages", "output_stride"),
    [
        ((4, 8, 16, 32), False, (0, 1, 2, 3), 32),
        ((8, 16, 32), False, (1, 2, 3), 32),
        ((16,), False, (2,), 32),  # C4
        ((16,), True, (3,), 16),  # DC5: the last stage, dilated
        ((4, 8, 8, 8), True, (0, 1, 2, 3), 8),
        ((4, 8, 16, 16), True, (0, 1, 2, 3), 16),
        ((8, 8), True, (2, 3), 8),
        ((4, 8, 16, 32), True, (0, 1, 2, 3), 32),  # switchable convolutions dilate without keeping
    ],
)
def test_pyramids_have_their_stages(strides, dilated, stages, output_stride):
    positions = range(len(strides))
    assert match_stages(pyramid(strides, dilated), positions) == (stages, output_stride)


@pytest.mark.parametrize(
    ("strides", "dilated"),
    [
        ((8, 16, 32, 64), False),
        ((2, 4), False),
        ((16, 16, 16, 16), False),
        ((32, 16, 8), False),
        ((8, 8), False),
        ((4, 4), True),
    ],
)
def test_other_maps_have_none(strides, dilated):
    assert match_stages(pyramid(strides, dilated), range(len(strides))) is None


def test_only_the_maps_that_are_read_count():
    assert match_stages(pyramid((2, 4, 8, 16, 32)), [2, 4]) == ((1, 3), 32)


def test_the_first_maps_of_a_dilated_backbone_are_the_first_stages():
    assert match_stages(pyramid((4, 8, 8, 8), dilated=True), [0, 1]) == ((0, 1), 8)


def test_a_backbone_of_more_stages_reaches_further():
    assert match_stages(pyramid((8, 16, 32, 64)), range(4), num_stages=5) == ((1, 2, 3, 4), 64)


def test_sources_are_the_nearest_stages():
    assert choose_sources([1, 2, 4, 8, 16, 32, 64, 128]) == [0, 0, 0, 1, 2, 3, 3, 3]


def test_as_many_equal_maps_as_stages_stand_for_depths():
    assert choose_sources([16] * 4) == [0, 1, 2, 3]
    assert choose_sources([8] * 3) == [1, 1, 1]
