"""Check the annotations of a COCO file, after their single fields have been checked."""

from __future__ import annotations

from collections.abc import Container, Sequence

import numpy as np

from convnext_dense.data.rules.boxes import check_boxes, compare_with_masks
from convnext_dense.data.rules.field_kinds import Id, as_json, is_number
from convnext_dense.data.rules.findings import Findings
from convnext_dense.data.rules.masks import Segmentations, check_masks
from convnext_dense.data.rules.records import has_size, name_of


def check_annotations(
    findings: Findings,
    content: dict,
    *,
    evaluated: bool,
    masks: bool,
    wanted: Container[Id] | None = None,
) -> np.ndarray:
    """Check the boxes and masks of annotations, and report fields that are ignored.

    Args:
        findings: Collects the report.
        content: Result of :func:`~convnext_dense.data.rules.records.check_records`.
        evaluated: Whether they are compared with predictions, not trained on.
        masks: Whether segmentations are used.
        wanted: The ids of the categories that count, or None for all.

    Returns:
        (N,) bool: which annotations are used, of all categories.
    """
    annotations = content["annotations"]
    sizes = {i["id"]: (i["width"], i["height"]) for i in content["images"] if has_size(i)}
    kept = check_boxes(findings, annotations, sizes)
    counting = [a for a in annotations if wanted is None or a["category_id"] in wanted]
    found = Segmentations(counting, sizes)
    if masks:
        check_masks(findings, counting, found)
    compare_with_masks(findings, counting, found.extents, found.flat)
    return kept & _check_unused(findings, annotations, evaluated=evaluated)


def _check_unused(
    findings: Findings, annotations: Sequence[dict], *, evaluated: bool
) -> np.ndarray:
    """Report annotations with ``ignore``, and boxes with a rotation.

    Args:
        findings: Collects the report.
        annotations: N valid annotations.
        evaluated: Whether they are compared with predictions, where ``ignore`` has no effect.

    Returns:
        (N,) bool: which annotations are used.
    """
    ignored = np.array([bool(annotation.get("ignore")) for annotation in annotations], bool)
    findings.add_warning(
        "annotations with ignore: 1, which COCO's evaluation counts as all others, though mmdet "
        "does not train on them: delete them, or set iscrowd to 1"
        if evaluated
        else "annotations with ignore: 1, which mmdet leaves out of training: delete the field to "
        "train on them",
        (name_of("annotations", annotations[i]) for i in np.flatnonzero(ignored).tolist()),
    )
    findings.add_warning(
        "boxes with a rotation in their attributes (CVAT), which is ignored: bbox is used without "
        "it; annotate rotated objects as polygons",
        (
            f"{name_of('annotations', annotation)}: attributes.rotation is {as_json(rotation)}"
            for annotation in annotations
            if (rotation := _rotation(annotation))
        ),
    )
    return np.full(len(annotations), True) if evaluated else ~ignored


def _rotation(annotation: dict) -> float:
    """Return the rotation of a box in degrees; 0 for none or a full turn."""
    attributes = annotation.get("attributes")
    rotation = attributes.get("rotation") if isinstance(attributes, dict) else None
    return rotation if is_number(rotation) and rotation % 360 else 0
