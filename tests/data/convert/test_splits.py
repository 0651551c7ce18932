"""Splits: shares, classes in proportion, groups together, the same for a seed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from convnext_dense.data.convert import splits
from convnext_dense.data.convert.splits import Unit, cut, find_groups, parse_split

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("80/20", (0.8, 0.2)),
        ("0.7/0.2/0.1", (0.7, 0.2, 0.1)),
        ("80 / 10 / 10", (0.8, 0.1, 0.1)),
        ("90/10/0", (0.9, 0.1)),
        ("33.3/33.3/33.4", (0.333, 0.333, 0.334)),
    ],
)
def test_shares(text, shares):
    assert tuple(parse_split(text).values()) == pytest.approx(shares)


@pytest.mark.parametrize(
    "text",
    ["", "80", "80/30", "a/b", "80/-10/30", "nan/20", "inf/20", "1/1", "70/10/10/10", "80:20"],
)
def test_shares_that_make_no_sense(text):
    with pytest.raises(ValueError, match=r"^`split=.*give the shares"):
        parse_split(text)


@pytest.mark.parametrize("text", ["100/0", "0/100", "0/50/50"])
def test_a_training_needs_two_splits(text):
    with pytest.raises(ValueError, match="for training and for validation"):
        parse_split(text)


def random_units(number=400, classes=6, seed=0):
    rng = np.random.default_rng(seed)
    chance = 0.6 ** np.arange(classes)  # the last ones are rare
    return [
        Unit(f"p{i}", 1, Counter(np.flatnonzero(rng.random(classes) < chance).tolist()))
        for i in range(number)
    ]


def share_of(units, chosen, split, c=None):
    weight = [unit.pictures if c is None else unit.classes[c] for unit in units]
    own = [w for w, unit in zip(weight, units, strict=True) if chosen[unit.name] == split]
    return sum(own) / sum(weight)


def test_every_class_is_spread_by_the_shares():
    units = random_units()
    chosen = cut(units, SHARES, seed=0)
    for split, share in SHARES.items():
        assert share_of(units, chosen, split) == pytest.approx(share, abs=0.02)
        for c in range(6):
            number = sum(unit.classes[c] for unit in units)
            # At random the rarest class would miss its share by 60 percent of it.
            assert share_of(units, chosen, split, c) == pytest.approx(
                share, abs=1.5 / number + 0.02
            )


def test_the_order_does_not_matter_but_the_seed_does():
    units = random_units()
    chosen = cut(units, SHARES, seed=3)
    assert cut(units[::-1], SHARES, seed=3) == chosen
    assert cut(units, SHARES, seed=4) != chosen


def test_large_groups_are_spread_too():
    rng = np.random.default_rng(0)
    units = []
    for i in range(40):
        number = int(rng.integers(1, 30))
        units.append(Unit(f"g{i}", number, Counter({0: number, 1 + i % 3: max(1, number // 2)})))
    chosen = cut(units, {"train": 0.7, "val": 0.3}, seed=0)
    for c in (None, 0, 1, 2, 3):
        assert share_of(units, chosen, "val", c) == pytest.approx(0.3, abs=0.06)


def test_units_that_have_a_split_stay_and_count():
    units = [Unit(f"old{i}", 1, Counter([0]), "train") for i in range(80)]
    units += [Unit(f"new{i}", 1, Counter([0])) for i in range(20)]
    chosen = cut(units, {"train": 0.8, "val": 0.2}, seed=0)
    assert {chosen[f"old{i}"] for i in range(80)} == {"train"}
    assert {chosen[f"new{i}"] for i in range(20)} == {"val"}


@pytest.mark.parametrize("number", [2, 3, 4, 5, 10])
@pytest.mark.parametrize(
    "shares", [{"train": 0.8, "val": 0.2}, SHARES, {"train": 0.98, "val": 0.02}]
)
def test_no_split_is_empty_and_every_class_is_validated(number, shares):
    units = [Unit(f"p{i}", 1, Counter([0])) for i in range(number)]
    units += [Unit(f"q{i}", 1, Counter()) for i in range(3)]
    chosen = cut(units, shares, seed=0)
    assert set(chosen.values()) == set(shares)
    labelled = {chosen[f"p{i}"] for i in range(number)}
    assert {"train", "val"} <= labelled


def test_too_few_groups():
    with pytest.raises(ValueError, match="2 pictures or groups cannot be cut into 3 splits"):
        cut([Unit("a", 9), Unit("b", 9)], SHARES, seed=0)


NAMES = ["v1/a.jpg", "v1/b.jpg", "v22/a.jpg", "other.jpg"]


@pytest.mark.parametrize(
    ("pattern", "groups"),
    [
        (r"^v(\d+)", ["1", "1", "22", None]),
        (r"^v\d+", ["v1", "v1", "v22", None]),
        (r"(x)?[ab]\.", ["a.", "b.", "a.", None]),
    ],
)
def test_groups(pattern, groups):
    assert find_groups(pattern, NAMES) == (groups, ["other.jpg"])


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(", "is no regular expression"),
        ("frame", "matches no picture's name; they are v1/a.jpg"),
        (r"^(a|aa)+$", "takes over"),
    ],
)
def test_patterns_that_make_no_sense(pattern, said, monkeypatch):
    monkeypatch.setattr(splits, "_SECONDS", 0.02)
    names = [*NAMES, "a" * 60 + "!"]
    with pytest.raises(ValueError, match="`group_by=") as caught:
        find_groups(pattern, names)
    assert said in str(caught.value) and "\n" not in str(caught.value)
