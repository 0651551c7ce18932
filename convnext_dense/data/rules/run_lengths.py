"""Check run lengths (RLE) without decoding them to pixels.

pycocotools decodes without checks: if counts do not sum to the size of the mask, it may read and
write memory outside of the mask, or run for minutes.

Source: ``rleFrString`` of pycocotools' ``maskApi.c``. A number is written as groups of 5 bits, the
lowest first, each as the character 48 + group, plus 32 if another group follows. From the fourth
number on, the difference to the number two places before is written.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convnext_dense.data.rules.field_kinds import SIDE

_FIRST, _MORE, _SIGN, _BITS = 48, 32, 16, 5
# The most groups of a number: with more, pycocotools shifts bits out of an int.
_MOST_GROUPS = 7
_CHUNK = 20000  # masks that are decoded to numbers together


def rle_problem(rle: object, size: tuple[int, int] | None) -> str | None:
    """Return what is wrong with run lengths, or None; compressed counts are not checked.

    Args:
        rle: The segmentation from the JSON file.
        size: (height, width) of the image, or None if it is not known.
    """
    if not isinstance(rle, dict) or "size" not in rle or "counts" not in rle:
        return "segmentations that are neither polygons nor run lengths (RLE) with size and counts"
    sides, counts = rle["size"], rle["counts"]
    if not (isinstance(sides, list | tuple) and len(sides) == 2 and all(map(SIDE.holds, sides))):
        return "run lengths (RLE) whose size is not [height, width]"
    if size is not None and tuple(sides) != tuple(size):
        return "run lengths (RLE) of another size than their image"
    if isinstance(counts, list):
        if not (set(map(type, counts)) <= {int} and min(counts, default=0) >= 0):
            return "run lengths (RLE) whose counts are not whole numbers from 0"
        if sum(counts) != sides[0] * sides[1]:
            return "run lengths (RLE) whose counts do not sum to height x width"
    elif not isinstance(counts, str | bytes):
        return "run lengths (RLE) whose counts are neither a list nor a text"
    return None


def compressed(rle: dict) -> dict:
    """Return run lengths whose counts were checked as pycocotools decodes them."""
    from pycocotools.mask import frPyObjects

    return frPyObjects(rle, *map(int, rle["size"])) if isinstance(rle["counts"], list) else rle


def counts_fill_masks(counts: Sequence[str | bytes], pixels: Sequence[int]) -> np.ndarray:
    """Check which compressed counts can be decoded and sum to the size of their mask.

    Args:
        counts: N compressed counts.
        pixels: Height times width of each.

    Returns:
        (N,) bool.
    """
    chunks = range(0, len(counts), _CHUNK)
    fits = [_fill(counts[i : i + _CHUNK], pixels[i : i + _CHUNK]) for i in chunks]
    return np.concatenate([np.zeros(0, bool), *fits])


def _fill(counts: Sequence[str | bytes], pixels: Sequence[int]) -> np.ndarray:
    # Characters outside of ASCII become bytes that are not valid groups.
    encoded = [c if isinstance(c, bytes) else c.encode("utf-8", "surrogatepass") for c in counts]
    lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
    fits = lengths > 0
    if not fits.any():
        return fits
    groups = np.frombuffer(b"".join(encoded), np.uint8).astype(np.int64) - _FIRST
    owners = np.repeat(np.arange(len(encoded)), lengths)
    fits[owners[(groups < 0) | (groups >= 2 * _MORE)]] = False
    is_last = groups & _MORE == 0
    ends = (lengths.cumsum() - 1)[lengths > 0]
    fits[owners[ends[~is_last[ends]]]] = False
    is_last[ends] = True
    starts = np.concatenate([[0], np.flatnonzero(is_last)[:-1] + 1])
    place = np.arange(len(groups)) - np.repeat(starts, np.diff(starts, append=len(groups)))
    fits[owners[place >= _MOST_GROUPS]] = False
    shift = _BITS * place.clip(max=_MOST_GROUPS - 1)
    values = (groups & (_MORE - 1)) << shift
    values -= (is_last & (groups & _SIGN > 0)).astype(np.int64) << (shift + _BITS)
    numbers = np.add.reduceat(values, starts)
    return fits & _sum_to(numbers, owners[starts], np.asarray(pixels, np.int64))


def _sum_to(numbers: np.ndarray, owners: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Return which masks have runs of lengths that sum to the mask's size.

    Args:
        numbers: (M,) written numbers of all masks, which are differences.
        owners: (M,) mask of each number.
        pixels: (N,) size of each mask.
    """
    every = np.arange(len(pixels))
    nth = np.arange(len(owners)) - np.searchsorted(owners, every)[owners]
    fits, sums = np.ones(len(pixels), bool), np.zeros(len(pixels), np.int64)
    # The first number is a run. Each other one is the difference to the number two places before.
    for chain in (nth == 0, nth % 2 == 1, (nth % 2 == 0) & (nth > 0)):
        own = owners[chain]
        totals = np.concatenate([[0], np.cumsum(numbers[chain])])
        runs = totals[1:] - totals[np.searchsorted(own, every)[own]]
        fits[own[(runs < 0) | (runs > pixels[own])]] = False
        np.add.at(sums, own, runs)
    return fits & (sums == pixels)
