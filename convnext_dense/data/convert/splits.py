"""Cut pictures into splits: seeded, each class in proportion, and groups kept together."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from convnext_dense.config_tree import SPLITS

# Where the source has no splits of its own.
DEFAULT = "80/20"
_SECONDS = 0.2  # of processor time, that a pattern may take for one name
_NAMES_SHOWN = 3


@dataclass
class Unit:
    """Pictures that stay together: one picture, or a group.

    Attributes:
        name: Name of the group, or of the picture.
        pictures: How many pictures it has.
        classes: In how many of its pictures each class occurs.
        split: The split where it has to be, or None.
    """

    name: str
    pictures: int = 0
    classes: Counter[int] = field(default_factory=Counter)
    split: str | None = None


def parse_split(text: str) -> dict[str, float]:
    """Return the share of each split.

    Args:
        text: Two or three shares of training, validation and test, with slashes between them: 80/20
            or 80/10/10, or as fractions, 0.8/0.2.

    Raises:
        ValueError: If it is not of this form, a share is not above 0, or they do not sum up.

    Example:
        >>> parse_split("80/10/10")
        {'train': 0.8, 'val': 0.1, 'test': 0.1}
    """
    refusal = ValueError(
        f"`split={text!r}`: give the shares of training, validation and perhaps test, which sum to "
        "100, such as 80/10/10 or 80/20"
    )
    try:
        shares = [float(part) for part in text.split("/")]
    except ValueError:
        raise refusal from None
    if len(shares) not in (2, 3) or not all(map(math.isfinite, shares)) or min(shares) < 0:
        raise refusal
    total = sum(shares)
    if not (math.isclose(total, 100, abs_tol=0.5) or math.isclose(total, 1, abs_tol=0.005)):
        raise refusal
    if min(shares[:2]) == 0:
        raise ValueError(
            f"`split={text!r}`: a training needs pictures for training and for validation"
        )
    return {name: share / total for name, share in zip(SPLITS, shares, strict=False) if share}


def find_groups(pattern: str, names: Sequence[str]) -> tuple[list[str | None], list[str]]:
    """Return the group of each picture.

    Args:
        pattern: A regular expression, which is searched for in the name. The group is what its
            first pair of parentheses matches, or else the whole match.
        names: Names of the pictures.

    Returns:
        The group of each picture, None if the pattern does not occur in its name; and those names.

    Raises:
        ValueError: If the pattern is wrong, matches no name, or takes too long.
    """
    import regex  # which can be stopped, as re cannot

    try:
        compiled = regex.compile(pattern)
    except regex.error as error:
        raise ValueError(f"`group_by={pattern!r}` is no regular expression: {error}") from None
    groups: list[str | None] = []
    try:
        for name in names:
            match = compiled.search(name, timeout=_SECONDS)
            groups.append(None if match is None else match[int(match.re.groups > 0)] or match[0])
    except TimeoutError:
        raise ValueError(
            f"`group_by={pattern!r}` takes over {_SECONDS:g} s for the name {name!r}: repetitions "
            "inside of repetitions, such as (a+)+, do that"
        ) from None
    without = [name for name, group in zip(names, groups, strict=True) if group is None]
    if len(without) == len(names):
        shown = ", ".join(names[:_NAMES_SHOWN])
        raise ValueError(f"`group_by={pattern!r}` matches no picture's name; they are {shown}, ...")
    return groups, without


def cut(units: Collection[Unit], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Choose a split for each unit, so that every class is spread by the shares.

    Iterative stratification (Sechidis, Tsoumakas and Vlahavas, 2011): the class with the fewest
    units left is next, since later nothing could correct it; each of its units goes to the split
    that lacks most of this class. The result depends on the seed and the names alone, not on the
    order of the units.

    Args:
        units: The units, with different names. One with a split stays there.
        shares: The share of each split.
        seed: Decides between units that are alike.

    Returns:
        The split by the name of the unit.

    Raises:
        ValueError: If there are fewer units than splits.
    """
    chosen = {unit.name: unit.split for unit in units if unit.split}
    cut_units = [unit for unit in units if unit.split is None or unit.split in shares]
    drawn = sorted(cut_units, key=lambda unit: (-unit.pictures, _draw(seed, unit.name)))
    if len(drawn) < len(shares):
        raise ValueError(
            f"{len(drawn)} pictures or groups cannot be cut into {len(shares)} splits: "
            "`split` names fewer, or `group_by` makes more groups"
        )
    # The picture itself counts as a class that every picture has.
    every = -1
    total: Counter[int] = Counter()
    for unit in drawn:
        total.update(unit.classes)
        total[every] += unit.pictures
    lacks: dict[str, dict[int, float]] = {split: {} for split in shares}
    for c, number in total.items():
        for split, wanted in _wanted(number, shares).items():
            lacks[split][c] = wanted

    def put(unit: Unit, split: str) -> None:
        chosen[unit.name] = split
        for c, number in unit.classes.items():
            lacks[split][c] -= number
        lacks[split][every] -= unit.pictures

    left = []
    for unit in drawn:
        if unit.split:
            put(unit, unit.split)
        else:
            left.append(unit)
    having: dict[int, list[Unit]] = defaultdict(list)
    for unit in left:
        for c in unit.classes:
            having[c].append(unit)
    units_left = Counter({c: len(of_class) for c, of_class in having.items()})
    while units_left:
        rarest = min(units_left, key=lambda c: (units_left[c], c))
        for unit in having[rarest]:
            if unit.name not in chosen:
                put(unit, max(shares, key=lambda s: (lacks[s][rarest], lacks[s][every])))
                units_left.subtract(unit.classes.keys())
        units_left = +units_left
        units_left.pop(rarest, None)
    for unit in left:
        if unit.name not in chosen:
            put(unit, max(shares, key=lambda s: lacks[s][every]))
    _fill_empty(left, chosen, shares)
    return chosen


def _wanted(number: int, shares: Mapping[str, float]) -> dict[str, float]:
    """Return how many of a number of pictures each split should get: each at least one.

    Example:
        >>> _wanted(5, {"train": 0.8, "val": 0.1, "test": 0.1})
        {'train': 3.0, 'val': 1, 'test': 1}
    """
    if number < len(shares):  # the first splits are those that a training needs
        return {split: float(index < number) for index, split in enumerate(shares)}
    wanted = {split: max(1, number * share) for split, share in shares.items()}
    largest = max(wanted, key=lambda split: wanted[split])
    wanted[largest] -= sum(wanted.values()) - number
    return wanted


def _fill_empty(units: Sequence[Unit], chosen: dict[str, str], shares: Mapping[str, float]) -> None:
    """Move one unit of the largest split into each empty one: few pictures can leave it so."""
    for split in shares:
        counts = Counter(chosen.values())
        if not counts[split]:
            largest = max(shares, key=lambda s: counts[s])
            own = [unit for unit in units if chosen[unit.name] == largest]
            if len(own) > 1:
                smallest = min(own, key=lambda unit: (not unit.classes, unit.pictures))
                chosen[smallest.name] = split


def _draw(seed: int, name: str) -> bytes:
    """Return a random key that depends on the seed and the name alone."""
    text = f"{seed}/{name}".encode("utf-8", "surrogateescape")
    return hashlib.blake2b(text, digest_size=8).digest()
