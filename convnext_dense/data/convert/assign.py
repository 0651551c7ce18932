"""Decide which pictures are cut into splits, and which stay in those of their source."""

from __future__ import annotations

from collections.abc import Sequence

from convnext_dense.config_tree import SPLITS
from convnext_dense.data.convert.pictures import Entry
from convnext_dense.data.convert.splits import (
    DEFAULT,
    Unit,
    cut,
    find_groups,
    parse_split,
)
from convnext_dense.text import many


def assign_splits(
    entries: Sequence[Entry],
    split: str | None,
    group_by: str | None,
    seed: int,
    *,
    has_earlier: bool,
) -> list[str]:
    """Assign every picture to its split.

    Args:
        entries: The pictures; changed in place.
        split: Shares of the splits, or None to keep those of the sources.
        group_by: A regular expression that tells groups, or None.
        seed: Seed of the cut.
        has_earlier: Whether source 0 is an earlier result, whose splits stay.

    Returns:
        Notes for people.

    Raises:
        ValueError: If an argument makes no sense for these pictures.
    """
    new = [entry for entry in entries if not (has_earlier and entry.source == 0)]
    if not new:
        return []
    own = [name for name in SPLITS if any(entry.split == name for entry in new)]
    notes = []
    shares = parse_split(DEFAULT if split is None else split)
    if split is not None:
        loose = new
        if own:
            notes.append(f"the sources' own splits ({', '.join(own)}) are cut anew")
    else:
        loose, note = _loose(new, own, has_earlier=has_earlier)
        notes.append(note)
        if group_by is not None and not loose:
            raise ValueError(
                f"`group_by={group_by!r}` has nothing to cut: the sources have splits of their "
                "own, which `split` cuts anew"
            )
    if not loose:
        return notes
    names = [entry.name for entry in entries]
    keys = [f"picture {name}" for name in names]
    if group_by is not None:
        groups, without = find_groups(group_by, names)
        keys = [
            key if group is None else f"group {group}"
            for key, group in zip(keys, groups, strict=True)
        ]
        number = len({key for key in keys if key.startswith("group ")})
        notes.append(
            f"`group_by` makes {many(number, 'group')} of {len(names) - len(without)} pictures"
        )
        if without:
            notes.append(
                f"{many(len(without), 'picture')} without a match of `group_by`, such as "
                f"{without[0]}: each is a group of its own"
            )
    loose_ids = set(map(id, loose))
    units: dict[str, Unit] = {}
    for entry, key in zip(entries, keys, strict=True):
        unit = units.setdefault(key, Unit(key))
        unit.pictures += 1
        unit.classes.update(entry.classes)
        if id(entry) not in loose_ids:
            unit.split = unit.split or entry.split
    chosen = cut(units.values(), shares, seed)
    for entry, key in zip(entries, keys, strict=True):
        if id(entry) in loose_ids:
            entry.split = chosen[key]
    return notes


def _loose(
    new: Sequence[Entry], own: Sequence[str], *, has_earlier: bool
) -> tuple[list[Entry], str]:
    """Return which pictures are cut where no shares are given, and a note."""
    listed = ", ".join(own)
    if not own:
        return list(new), f"the sources have no splits: {DEFAULT}, `split` cuts otherwise"
    if has_earlier or {"train", "val"} <= set(own):
        without = [entry for entry in new if entry.split is None]
        cut_too = f"; {many(len(without), 'picture')} without one are cut {DEFAULT}"
        return without, f"the sources' own splits are kept: {listed}{cut_too if without else ''}"
    if "train" in own:
        return [entry for entry in new if entry.split in (None, "train")], (
            f"the sources have {listed} but no validation: train is cut {DEFAULT}, `split` cuts "
            "it otherwise"
        )
    return list(new), f"the sources have {listed} but nothing to train on: all is cut {DEFAULT}"
