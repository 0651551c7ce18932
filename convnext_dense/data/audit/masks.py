"""Are COCO's segmentations polygons and run lengths that can be drawn?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np

from convnext_dense.data.rules.findings import Findings

_CHUNK = 20000  # annotations whose coordinates are looked at together


def check_segmentations(
    findings: Findings, annotations: list[dict], sizes: dict[object, tuple[int, int]]
) -> None:
    """Report segmentations that pycocotools refuses or draws as something else.

    Args:
        findings: Where to report.
        annotations: Those whose masks are wanted; such without one are left out.
        sizes: (width, height) of the images by their id.
    """
    short, other_size, no_mask, not_finite, flat = [], [], [], [], []
    for start in range(0, len(annotations), _CHUNK):
        polygons, owners = [], []
        for annotation in annotations[start : start + _CHUNK]:
            place = f"annotation {annotation['id']}"
            segmentation = annotation.get("segmentation")
            if not segmentation:
                continue
            if isinstance(segmentation, list):
                if not all(map(_is_polygon, segmentation)):
                    short.append(place)
                else:
                    polygons += segmentation
                    owners += [place] * len(segmentation)
            elif not _is_rle(segmentation):
                no_mask.append(place)
            elif (width_height := sizes.get(annotation["image_id"])) is not None:
                height, width = segmentation["size"]
                if (width, height) != width_height or not _fills(segmentation):
                    other_size.append(place)
        for place, area in zip(owners, polygon_areas(polygons), strict=True):
            if not np.isfinite(area):
                not_finite.append(place)
            elif area == 0:
                flat.append(place)
    findings.error(
        "polygons with fewer than 3 points or an odd number of coordinates: COCO wants "
        "[[x1, y1, x2, y2, x3, y3, ...], ...]",
        short,
    )
    findings.error("polygons with a coordinate that is no finite number", _once(not_finite))
    findings.error("segmentations that are neither polygons nor run lengths (RLE)", no_mask)
    findings.error("run lengths (RLE) of another size than their image", other_size)
    findings.warning("polygons without area, whose points lie on one line", _once(flat))


def polygon_areas(polygons: list[list[float]]) -> np.ndarray:
    """Give the areas of polygons, in square pixels; NaN where a coordinate is no finite number.

    Args:
        polygons: Each x1, y1, x2, y2, ... of at least one point.
    """
    lengths = np.fromiter(map(len, polygons), np.int64, len(polygons)) // 2
    if not len(lengths):
        return np.zeros(0)
    try:
        flat = np.fromiter(chain.from_iterable(polygons), np.float64)
    except (TypeError, ValueError):
        flat = np.fromiter(_numbers(chain.from_iterable(polygons)), np.float64)
    x, y = flat.reshape(-1, 2).T
    ends = lengths.cumsum()
    starts = ends - lengths
    following = np.arange(1, len(x) + 1)
    following[ends - 1] = starts
    # From the first corner, so that far from the origin no digits are lost.
    first = np.repeat(starts, lengths)
    with np.errstate(invalid="ignore", over="ignore"):
        x, y = x - x[first], y - y[first]
        twice = np.add.reduceat(x * y[following] - x[following] * y, starts)
    return np.where(np.isfinite(twice), np.abs(twice) / 2, np.nan)


def _is_polygon(part: object) -> bool:
    return isinstance(part, list) and len(part) >= 6 and len(part) % 2 == 0


def _is_rle(value: object) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("counts"), str | list)
        and isinstance(value.get("size"), list)
        and len(value["size"]) == 2
    )


def _fills(rle: dict) -> bool:
    """Tell whether run lengths, where they are not compressed, cover their size."""
    counts = rle["counts"]
    return isinstance(counts, str) or sum(counts) == rle["size"][0] * rle["size"][1]


def _numbers(values: Iterable[object]) -> Iterator[float]:
    for value in values:
        yield value if isinstance(value, int | float) else np.nan


def _once(places: list[str]) -> list[str]:
    return list(dict.fromkeys(places))
