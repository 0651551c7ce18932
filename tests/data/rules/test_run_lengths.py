"""Run lengths: what pycocotools writes is taken, and what it would decode wrongly is not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools.mask import encode, frPyObjects

from convnext_dense.data.rules.run_lengths import counts_fill_masks, rle_problem

masks = arrays(
    np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.integers(0, 1)
)
repeatable = settings(max_examples=60, deadline=None, derandomize=True)


def fills_by_the_book(counts, pixels):
    """Decode one character after the other, as maskApi.c does, and refuse what it does not."""
    runs, value, groups = [], 0, 0
    for code in counts:
        group = code - 48
        if not 0 <= group < 64 or groups == 7:
            return False
        value |= (group & 31) << 5 * groups
        groups += 1
        if not group & 32:
            value -= (1 << 5 * groups) * bool(group & 16)
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value, groups = 0, 0
    return groups == 0 and min(runs, default=-1) >= 0 and sum(runs) == pixels


def written(mask):
    return encode(np.asfortranarray(mask))["counts"]


@pytest.mark.slow
@repeatable
@given(st.lists(masks, max_size=6))
def test_what_pycocotools_writes_fills_its_size(several):
    counts = [written(mask) for mask in several]
    pixels = [mask.size for mask in several]
    assert counts_fill_masks(counts, pixels).all()
    assert counts_fill_masks([one.decode() for one in counts], pixels).all()
    assert not counts_fill_masks(counts, [one + 1 for one in pixels]).any()


@pytest.mark.slow
@repeatable
@given(masks, st.data())
def test_one_wrong_character(mask, data):
    good = written(mask)
    place = data.draw(st.integers(0, len(good) - 1))
    other = bytes([data.draw(st.integers(1, 255))])
    bad = good[:place] + other + good[place + 1 :]
    # Its neighbours are not mixed up with it.
    assert counts_fill_masks([good, bad, good], [mask.size] * 3).tolist() == [
        True,
        fills_by_the_book(bad, mask.size),
        True,
    ]


@pytest.mark.parametrize(
    "counts",
    [
        "",
        "zzzz",
        "\x00",
        "0",
        "p",
        "o",
        "oooo",
        "1o",
        "é1",
        "\ud800",
        "ooooooooooooooo1",
        "@" * 5000,
    ],
)
def test_counts_that_are_none(counts):
    assert not counts_fill_masks([counts], [12]).any()
    good = written(np.eye(3, 4, dtype=np.uint8))
    assert counts_fill_masks([good, counts, good], [12] * 3).tolist() == [True, False, True]


def test_more_masks_than_are_held_at_once(monkeypatch):
    monkeypatch.setattr("convnext_dense.data.rules.run_lengths._CHUNK", 3)
    good = [written(np.eye(side, dtype=np.uint8)) for side in range(1, 9)]
    pixels = [side * side for side in range(1, 9)]
    pixels[4] += 1
    assert counts_fill_masks(good, pixels).tolist() == [side != 4 for side in range(8)]


def test_a_large_mask():
    mask = np.zeros((3000, 5000), np.uint8)
    mask[1000:2000, 7::2] = 1
    assert counts_fill_masks([written(mask)], [mask.size]).all()
    size = 20000, 20000
    empty = frPyObjects(dict(size=list(size), counts=[4 * 10**8]), *size)
    assert counts_fill_masks([empty["counts"]], [4 * 10**8]).all()


@pytest.mark.parametrize(
    ("rle", "problem"),
    [
        (dict(size=[3, 4], counts=[12]), None),
        (dict(size=[3, 4], counts=[0, 12]), None),
        (dict(size=[3, 4], counts="<"), None),
        (dict(size=[3, 4], counts=[11]), "do not sum"),
        (dict(size=[3, 4], counts=[10**9]), "do not sum"),
        (dict(size=[3, 4], counts=[]), "do not sum"),
        (dict(size=[3, 4], counts=[13, -1]), "not whole numbers from 0"),
        (dict(size=[3, 4], counts=[12.0]), "not whole numbers from 0"),
        (dict(size=[3, 4], counts=[11, True]), "not whole numbers from 0"),
        (dict(size=[3, 4], counts=[None]), "not whole numbers from 0"),
        (dict(size=[3, 4], counts=[[12]]), "not whole numbers from 0"),
        (dict(size=[3, 4], counts=12), "neither a list nor a text"),
        (dict(size=[3, 4], counts=None), "neither a list nor a text"),
        (dict(size=[4, 3], counts=[12]), "another size than their image"),
        (dict(size=[3], counts=[12]), "not [height, width]"),
        (dict(size="34", counts=[12]), "not [height, width]"),
        (dict(size=[3, "4"], counts=[12]), "not [height, width]"),
        (dict(size=[-3, -4], counts=[12]), "not [height, width]"),
        (dict(size=[3, True], counts=[12]), "not [height, width]"),
        (dict(counts=[12]), "neither polygons nor run lengths"),
        (dict(size=[3, 4]), "neither polygons nor run lengths"),
        ("polygon", "neither polygons nor run lengths"),
        (7, "neither polygons nor run lengths"),
    ],
)
def test_what_is_wrong_is_said(rle, problem):
    said = rle_problem(rle, (3, 4))
    assert (said is None) if problem is None else problem in said
