"""Do COCO's boxes lie in their images, and do ids say what belongs to what?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from convnext_dense.data.rules.findings import Findings

_BEYOND = 1.0  # pixels by which a box may reach out of its image: rounding


def check_ids(findings: Findings, content: dict) -> None:
    """Report ids that clash, or that annotations name and nothing has."""
    for kind in ("images", "annotations", "categories"):
        counts = Counter(entry["id"] for entry in content[kind])
        findings.error(
            f"ids that several {kind} have", (f"id {i}" for i, n in counts.items() if n > 1)
        )
    for key, kind in (("image_id", "images"), ("category_id", "categories")):
        known = {entry["id"] for entry in content[kind]}
        findings.error(
            f"annotations whose {key} is not among the {kind} of the file",
            (
                f"annotation {a['id']}: {key} {a[key]}"
                for a in content["annotations"]
                if a[key] not in known
            ),
        )
    files = Counter(image["file_name"] for image in content["images"])
    findings.warning(
        "files that several images share", (name for name, number in files.items() if number > 1)
    )


def check_boxes(
    findings: Findings, annotations: list[dict], sizes: dict[object, tuple[int, int]]
) -> np.ndarray:
    """Report boxes that are none, or that lie outside of their images.

    Args:
        findings: Where to report.
        annotations: With ``bbox`` and ``area``; one that lacks them is reported.
        sizes: (width, height) of the images by their id.

    Returns:
        (N,) bool: which annotations mmdet keeps, of whatever category.
    """
    boxes = as_numbers([annotation.get("bbox") for annotation in annotations], 4)
    areas = as_numbers([[annotation.get("area")] for annotation in annotations], 1)[:, 0]
    limits = np.array(
        [sizes.get(annotation["image_id"], (np.nan, np.nan)) for annotation in annotations]
    ).reshape(-1, 2)
    finite = np.isfinite(boxes).all(1)
    corners, sides = boxes[:, :2], boxes[:, 2:]
    ends = corners + sides
    # Comparisons with the NaN of an unknown image, or of no box, are false.
    negative = (sides < 0).any(1)
    outside = ((ends <= 0) | (corners >= limits)).any(1) & ~negative & (sides > 0).all(1)
    beyond = ((corners < -_BEYOND) | (ends > limits + _BEYOND)).any(1) & ~outside & ~negative
    thin = (sides < 1).any(1) & ~negative & ~outside
    no_area = (areas <= 0) & ~thin & ~negative & ~outside

    def at(where: np.ndarray) -> list[str]:
        return [f"annotation {annotations[i]['id']}" for i in np.flatnonzero(where)]

    def box_at(where: np.ndarray) -> list[str]:
        return [
            f"annotation {annotations[i]['id']}: {annotations[i]['bbox']} in "
            f"{limits[i, 0]:g} x {limits[i, 1]:g}"
            for i in np.flatnonzero(where)
        ]

    findings.error(
        "boxes that are not four finite numbers, [x, y, width, height], or missing", at(~finite)
    )
    findings.error("areas that are no finite number, or missing", at(~np.isfinite(areas)))
    findings.error(
        "boxes of negative width or height: COCO wants [x, y, width, height]",
        box_at(finite & negative),
    )
    findings.error("boxes wholly outside of their image", box_at(finite & outside))
    findings.warning(
        f"boxes that reach out of their image by more than {_BEYOND:g} px, where they are cut off",
        box_at(finite & beyond),
    )
    findings.warning("boxes with a side below 1 px: mmdet leaves them out", box_at(finite & thin))
    findings.warning(
        "annotations whose area is not above 0: mmdet leaves them out",
        (
            f"annotation {annotations[i]['id']}: area {areas[i]:g}"
            for i in np.flatnonzero(finite & no_area)
        ),
    )
    known = np.isfinite(limits).all(1)
    return known & finite & np.isfinite(areas) & ~negative & ~outside & ~thin & ~no_area


def as_numbers(rows: Sequence[object], width: int) -> np.ndarray:
    """Give rows as (N, width) float64, NaN where a row is not as many numbers."""
    if not rows:
        return np.zeros((0, width))
    try:
        array = np.array(rows)
    except ValueError:  # of several lengths
        array = None
    if array is not None and array.shape == (len(rows), width) and array.dtype.kind in "iuf":
        return array.astype(np.float64)
    return np.array([_row(row, width) for row in rows], np.float64)


def _row(row: object, width: int) -> list[float]:
    if not isinstance(row, list) or len(row) != width:
        return [np.nan] * width
    return [value if isinstance(value, int | float) else np.nan for value in row]
