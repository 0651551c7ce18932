"""The rules of a COCO file's annotations, whose records are whole."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING

import numpy as np

from convnext_dense.data.rules.boxes import check_boxes, compare_with_masks
from convnext_dense.data.rules.findings import Findings
from convnext_dense.data.rules.masks import Segmentations, check_masks
from convnext_dense.data.rules.records import has_size
from convnext_dense.data.rules.unused import check_unused

if TYPE_CHECKING:
    from convnext_dense.data.rules.field_kinds import Id


def check_annotations(
    findings: Findings,
    content: dict,
    *,
    evaluated: bool,
    masks: bool,
    wanted: Container[Id] | None = None,
) -> np.ndarray:
    """Check annotations whose fields are right by themselves: boxes, masks, what is not heeded.

    Args:
        findings: Where to report.
        content: As :func:`~convnext_dense.data.rules.records.check_records` returns it.
        evaluated: Whether they are compared with predictions, not trained on.
        masks: Whether segmentations are drawn, where there are any.
        wanted: The ids of the categories that count, or None for all.

    Returns:
        (N,) bool: which annotations are used, of whatever category.
    """
    annotations = content["annotations"]
    sizes = {i["id"]: (i["width"], i["height"]) for i in content["images"] if has_size(i)}
    kept = check_boxes(findings, annotations, sizes)
    counting = [a for a in annotations if wanted is None or a["category_id"] in wanted]
    found = Segmentations(counting, sizes)
    if masks:
        check_masks(findings, counting, found)
    compare_with_masks(findings, counting, found.extents, found.flat)
    return kept & check_unused(findings, annotations, evaluated=evaluated)
