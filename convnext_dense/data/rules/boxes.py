"""Check that boxes lie in their images and fit their masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convnext_dense.data.rules.field_kinds import Id, as_json
from convnext_dense.data.rules.findings import Findings
from convnext_dense.data.rules.records import name_of

_BEYOND = 1.0  # pixels by which a box may exceed its image, because of rounding
# A box fits a mask if their overlap has this IoU, or if no side differs by more than these pixels.
_FITTING_IOU, _FITTING_PIXELS = 0.5, 2.0
# Other meanings of a box that are tried if [x, y, width, height] does not fit.
_READINGS = {
    "[x1, y1, x2, y2]": lambda b: b,
    "[centre x, centre y, width, height]": lambda b: np.concatenate(
        [b[:, :2] - b[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2], 1
    ),
    "[y, x, height, width]": lambda b: edges_of(b[:, [1, 0, 3, 2]]),
}


def check_boxes(
    findings: Findings, annotations: Sequence[dict], sizes: dict[Id, tuple[int, int]]
) -> np.ndarray:
    """Report boxes that lie outside of their images, or that mmdet leaves out.

    Args:
        findings: Collects the report.
        annotations: N valid annotations.
        sizes: (width, height) of the images by their id.

    Returns:
        (N,) bool: which annotations mmdet keeps, of all categories.
    """
    boxes = as_boxes(annotations)
    areas = np.array([annotation["area"] for annotation in annotations], np.float64)
    unknown = (np.nan, np.nan)
    stated = [sizes.get(annotation["image_id"], unknown) for annotation in annotations]
    limits = np.array(stated, np.float64).reshape(-1, 2)
    corners, sides = boxes[:, :2], boxes[:, 2:]
    ends = corners + sides
    # Comparisons with the NaN of an unknown image are false.
    outside = ((ends <= 0) | (corners >= limits)).any(1) & (sides > 0).all(1)
    beyond = ((corners < -_BEYOND) | (ends > limits + _BEYOND)).any(1) & ~outside
    thin = (sides < 1).any(1) & ~outside
    no_area = (areas <= 0) & ~thin & ~outside

    def box_at(where: np.ndarray) -> list[str]:
        return [
            f"{name_of('annotations', annotations[i])}: {annotations[i]['bbox']} in "
            f"{limits[i, 0]:g} x {limits[i, 1]:g}"
            for i in np.flatnonzero(where).tolist()
        ]

    findings.add_error("boxes wholly outside of their image", box_at(outside))
    findings.add_warning(
        f"boxes that exceed their image by more than {_BEYOND:g} px: they are cut at its border",
        box_at(beyond),
    )
    findings.add_warning("boxes with a side below 1 px: mmdet leaves them out", box_at(thin))
    findings.add_warning(
        "annotations whose area is 0: mmdet leaves them out",
        (name_of("annotations", annotations[i]) for i in np.flatnonzero(no_area).tolist()),
    )
    return np.isfinite(limits).all(1) & ~outside & ~thin & ~no_area


def compare_with_masks(
    findings: Findings, annotations: Sequence[dict], extents: np.ndarray, flat: np.ndarray
) -> None:
    """Compare the boxes with what their masks cover.

    Args:
        findings: Collects the report: an error if most of them differ, else a warning.
        annotations: N valid annotations.
        extents: (N, 4) x1, y1, x2, y2 of their masks; NaN for none.
        flat: (N,) bool: masks without area, which are not compared.
    """
    known = np.flatnonzero(np.isfinite(extents).all(1) & ~flat).tolist()
    if not len(known):
        return
    boxes, extents = as_boxes([annotations[i] for i in known]), extents[known]
    differ = ~_fit(edges_of(boxes), extents)
    places = [
        f"{name_of('annotations', annotation)}: bbox {as_json(annotation['bbox'])}, its mask "
        f"{_as_text(extents[i])}"
        for i in np.flatnonzero(differ)
        if (annotation := annotations[known[i]])
    ]
    if 2 * len(places) <= len(known):
        findings.add_warning("boxes that do not fit their masks", places)
        return
    readings = {name: _fit(read(boxes), extents).mean() for name, read in _READINGS.items()}
    best = max(readings, key=lambda name: readings[name])
    hint = f"; as {best} they would fit" if readings[best] > 0.5 else ""
    findings.add_error(
        "boxes that do not fit their masks, which are most of the boxes: COCO's format wants "
        f"[x, y, width, height]{hint}",
        places,
    )


def as_boxes(annotations: Sequence[dict]) -> np.ndarray:
    """Return the boxes of valid annotations as (N, 4) float64."""
    return np.array([a["bbox"] for a in annotations], np.float64).reshape(-1, 4)


def edges_of(boxes: np.ndarray) -> np.ndarray:
    """Return (N, 4) boxes x, y, width, height as x1, y1, x2, y2."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)


def are_alike(boxes: np.ndarray, others: np.ndarray, pixels: float, iou: float) -> np.ndarray:
    """Return which boxes are nearly those beside them.

    Args:
        boxes: (N, 4) x1, y1, x2, y2.
        others: The same.
        pixels: Difference of each edge up to which they are.
        iou: Overlap from which they are, too.

    Returns:
        (N,) bool.
    """
    low, high = np.maximum(boxes[:, :2], others[:, :2]), np.minimum(boxes[:, 2:], others[:, 2:])
    shared = (high - low).clip(0).prod(1)
    areas = [(edges[:, 2:] - edges[:, :2]).prod(1) for edges in (boxes, others)]
    near = (np.abs(boxes - others) <= pixels).all(1)
    return near | (shared >= iou * (sum(areas) - shared))


def _fit(boxes: np.ndarray, extents: np.ndarray) -> np.ndarray:
    """Return which boxes fit their masks' extents; both are x1, y1, x2, y2."""
    return are_alike(boxes, extents, _FITTING_PIXELS, _FITTING_IOU)


def _as_text(extent: np.ndarray) -> str:
    x1, y1, x2, y2 = extent
    return f"[{x1:g}, {y1:g}, {x2 - x1:g}, {y2 - y1:g}]"
