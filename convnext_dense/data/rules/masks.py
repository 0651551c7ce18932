"""Check that segmentations can be drawn, and find their extents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from convnext_dense.data.rules.field_kinds import FARTHEST, Id, is_coordinate
from convnext_dense.data.rules.findings import Findings
from convnext_dense.data.rules.records import name_of
from convnext_dense.data.rules.run_lengths import compressed, counts_fill_masks, rle_problem

_CHUNK = 20000  # annotations whose coordinates are checked together
_RECTANGLE = (
    "polygons of four numbers, which labelme writes for a rectangle and pycocotools takes for "
    "[x, y, width, height]: write the corners x1, y1, x2, y1, x2, y2, x1, y2"
)
_NO_POINTS = (
    "polygons with fewer than 3 points or an odd number of coordinates: COCO wants "
    "[[x1, y1, x2, y2, x3, y3, ...], ...]"
)
_NO_NUMBERS = f"polygons with a coordinate that is not a finite number of at most {FARTHEST:,}"
_NO_RUNS = "run lengths (RLE) whose counts cannot be decoded or do not sum to height x width"


class Segmentations:
    """Problems and extents of the segmentations of annotations.

    Args:
        annotations: N annotations with ``image_id``.
        sizes: (width, height) of the images by their id.

    Attributes:
        problems: Why a segmentation cannot be drawn, by the index of the annotation.
        extents: (N, 4) float64, x1, y1, x2, y2 of segmentations that can be drawn; else NaN.
        flat: (N,) bool: segmentations that can be drawn, but have no area.
    """

    def __init__(self, annotations: Sequence[dict], sizes: dict[Id, tuple[int, int]]) -> None:
        self.problems: dict[int, str] = {}
        self.extents = np.full((len(annotations), 4), np.nan)
        self.flat = np.zeros(len(annotations), bool)
        for start in range(0, len(annotations), _CHUNK):
            polygons: list[list] = []
            owners: list[int] = []
            runs: dict[int, dict] = {}
            for index, annotation in enumerate(annotations[start : start + _CHUNK], start):
                segmentation = annotation.get("segmentation")
                if not segmentation:
                    continue
                if isinstance(segmentation, list):
                    problem = _shape_problem(segmentation)
                    if problem:
                        self.problems[index] = problem
                    else:
                        polygons += segmentation
                        owners += [index] * len(segmentation)
                else:
                    size = sizes.get(annotation["image_id"])
                    problem = rle_problem(segmentation, size and size[::-1])
                    if problem:
                        self.problems[index] = problem
                    else:
                        runs[index] = segmentation
            self._add_polygons(polygons, np.array(owners, np.int64))
            self._add_runs(runs)

    def _add_polygons(self, polygons: list[list], owners: np.ndarray) -> None:
        if not polygons:
            return
        lengths = np.fromiter(map(len, polygons), np.int64, len(polygons)) // 2
        x, y = _as_floats(polygons).reshape(-1, 2).T
        starts = lengths.cumsum() - lengths
        far = (np.abs(x) > FARTHEST) | (np.abs(y) > FARTHEST) | np.isnan(x) | np.isnan(y)
        wrong = np.unique(owners[np.logical_or.reduceat(far, starts)])
        self.problems |= dict.fromkeys(wrong.tolist(), _NO_NUMBERS)
        with np.errstate(invalid="ignore", over="ignore"):
            areas = polygon_areas(x, y, starts, lengths)
        low, high = np.minimum.reduceat, np.maximum.reduceat
        corners = np.stack([f(v, starts) for f, v in ((low, x), (low, y), (high, x), (high, y))], 1)
        drawn = ~np.isin(owners, wrong)
        owners, corners = owners[drawn], corners[drawn]
        np.fmin.at(self.extents[:, :2], owners, corners[:, :2])
        np.fmax.at(self.extents[:, 2:], owners, corners[:, 2:])
        self.flat[owners[areas[drawn] == 0]] = True

    def _add_runs(self, runs: dict[int, dict]) -> None:
        texts = [i for i, rle in runs.items() if not isinstance(rle["counts"], list)]
        fits = counts_fill_masks(
            [runs[i]["counts"] for i in texts],
            [runs[i]["size"][0] * runs[i]["size"][1] for i in texts],
        )
        for index, whole in zip(texts, fits, strict=True):
            if not whole:
                self.problems[index] = _NO_RUNS
                del runs[index]
        if not runs:
            return
        from pycocotools.mask import toBbox

        boxes = toBbox([compressed(rle) for rle in runs.values()])
        boxes[:, 2:] += boxes[:, :2]
        places = list(runs)
        self.extents[places] = boxes
        self.flat[places] = (boxes[:, 2:] <= boxes[:, :2]).any(1)


def check_masks(findings: Findings, annotations: Sequence[dict], found: Segmentations) -> None:
    """Report segmentations that cannot be drawn, or that have no area.

    Args:
        findings: Collects the report.
        annotations: Annotations whose masks are used.
        found: Their segmentations.
    """
    by_problem = defaultdict(list)
    for index, problem in sorted(found.problems.items()):
        by_problem[problem].append(name_of("annotations", annotations[index]))
    for problem, places in by_problem.items():
        findings.add_error(problem, places)
    findings.add_warning(
        "polygons without area, whose points lie on one line, or run lengths without a pixel",
        (
            name_of("annotations", annotations[index])
            for index in np.flatnonzero(found.flat).tolist()
        ),
    )


def _shape_problem(segmentation: list) -> str | None:
    if not all(isinstance(part, list) for part in segmentation):
        return _NO_POINTS
    if any(len(part) == 4 for part in segmentation):
        return _RECTANGLE
    if any(len(part) < 6 or len(part) % 2 for part in segmentation):
        return _NO_POINTS
    return None


def _as_floats(polygons: list[list]) -> np.ndarray:
    """Return all coordinates in one array, with NaN for values that are not coordinates."""
    values: Any = list(chain.from_iterable(polygons))
    try:
        if set(map(type, values)) <= {int, float}:
            return np.array(values, np.float64)
    except OverflowError:  # a whole number that is too large for a float
        pass
    return np.array([value if is_coordinate(value) else np.nan for value in values], np.float64)


def polygon_areas(
    x: np.ndarray, y: np.ndarray, starts: np.ndarray, lengths: np.ndarray
) -> np.ndarray:
    """Return the areas of polygons, in square pixels.

    Args:
        x: (P,) x of all points.
        y: (P,) y of all points.
        starts: (N,) index of each polygon's first point.
        lengths: (N,) number of each polygon's points, at least one.
    """
    following = np.arange(1, len(x) + 1)
    following[starts + lengths - 1] = starts
    # Relative to the first corner, so that no digits are lost far from the origin.
    first = np.repeat(starts, lengths)
    x, y = x - x[first], y - y[first]
    return np.abs(np.add.reduceat(x * y[following] - x[following] * y, starts)) / 2
