"""Suppress boxes with a number of rows that does not depend on the picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from convnext_dense.export import operators
from convnext_dense.export.replacements.replace import replaces


def keep_best(
    boxes: Tensor, scores: Tensor, groups: Tensor, nms: Mapping[str, Any], rows: int
) -> tuple[Tensor, Tensor]:
    """Suppress boxes that overlap a better one of their group.

    Args:
        boxes: (N, 4) as x1, y1, x2, y2.
        scores: (N,); 0 means that there is no box.
        groups: (N,), such as classes or levels.
        nms: mmcv's settings.
        rows: The number of results, or -1 for N.

    Returns:
        Indices of the kept boxes by falling score, (rows,), and their scores. Where no box is left,
        both are 0.
    """
    options = dict(nms)
    separate = not options.pop("class_agnostic", False)
    kind = options.pop("type", "nms")
    kind = kind if isinstance(kind, str) else kind.__name__
    if separate:
        # As mmcv does: boxes of different groups are moved apart.
        largest = torch.where(scores[:, None] > 0, boxes, 0).max()
        boxes = boxes + (groups.to(boxes) * (largest + 1))[:, None]
    rows = rows if rows > 0 else len(scores)
    if kind == "soft_nms":
        return _lower_overlapping(boxes, scores, rows, **options)
    if kind != "nms":
        raise NotImplementedError(f"suppression of type {kind!r} cannot be exported")
    least = options.pop("score_threshold", 0)
    threshold = options.pop("iou_threshold", options.pop("iou_thr", None))
    if least > 0:
        scores = torch.where(scores > least, scores, 0)
    keep = operators.nms(boxes, scores, float(threshold), rows)
    missing = keep.new_full((rows,), len(scores))
    keep = torch.cat([keep, missing])[:rows]
    kept = torch.cat([scores, scores.new_zeros(1)])[keep]
    return torch.where(kept > 0, keep, 0), kept


def _lower_overlapping(
    boxes: Tensor,
    scores: Tensor,
    rows: int,
    iou_threshold: float = 0.3,
    sigma: float = 0.5,
    min_score: float = 1e-3,
    method: str = "linear",
) -> tuple[Tensor, Tensor]:
    """Take the best box, and lower the scores of those that overlap it, ``rows`` times (soft-NMS).

    ONNX has no operator for it: the graph has the steps one after another.
    """
    x1, y1, x2, y2 = boxes.unbind(1)
    areas = (x2 - x1) * (y2 - y1)
    numbers = torch.arange(len(scores), device=boxes.device)
    taken, kept = [], []
    for _ in range(rows):
        score, best = scores.max(0)
        taken.append(best)
        kept.append(score)
        width = (torch.minimum(x2[best], x2) - torch.maximum(x1[best], x1)).clamp(min=0)
        height = (torch.minimum(y2[best], y2) - torch.maximum(y1[best], y1)).clamp(min=0)
        inter = width * height
        iou = torch.where(inter > 0, inter / (areas[best] + areas - inter), 0)
        if method == "gaussian":
            weight = torch.exp(-(iou * iou) / sigma)
        else:
            lowered = 1 - iou if method == "linear" else torch.zeros_like(iou)
            weight = torch.where(iou >= iou_threshold, lowered, 1)
        scores = scores * weight
        scores = torch.where((scores >= min_score) & (numbers != best), scores, 0)
    return torch.stack(taken), torch.stack(kept)


@replaces("mmcv.ops.nms:batched_nms")
def batched_nms(
    original: Callable,
    boxes: Tensor,
    scores: Tensor,
    idxs: Tensor,
    nms_cfg: Mapping[str, Any] | None,
    class_agnostic: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return boxes with scores, (N, 5), and indices, (N,), as mmcv's function; rows are missing."""
    if nms_cfg is None:
        return original(boxes, scores, idxs, None)
    options = dict(class_agnostic=class_agnostic) | dict(nms_cfg)
    keep, kept = keep_best(boxes, scores, idxs, options, options.pop("max_num", -1))
    return torch.cat([boxes[keep] * (kept > 0)[:, None], kept[:, None]], -1), keep


@replaces("mmdet.models.layers.bbox_nms:multiclass_nms")
def multiclass_nms(
    original: Callable,
    multi_bboxes: Tensor,
    multi_scores: Tensor,
    score_thr: float,
    nms_cfg: Mapping[str, Any],
    max_num: int = -1,
    score_factors: Tensor | None = None,
    return_inds: bool = False,
    box_dim: int = 4,
) -> tuple[Tensor, ...]:
    """Return boxes with scores, (max_num, 5), and labels, as mmdet's function; rows are missing.

    A RoI that is missing has an empty box, which is no object of any class.
    """
    scores = multi_scores[:, :-1]
    classes = int(scores.shape[1])
    boxes = multi_bboxes.view(-1, int(multi_bboxes.shape[1]) // box_dim, box_dim)
    boxes = boxes.expand(-1, classes, box_dim).reshape(-1, box_dim)
    is_object = (scores > score_thr).reshape(-1) & (boxes != 0).any(-1)
    if score_factors is not None:
        scores = scores * score_factors[:, None]
    scores = torch.where(is_object, scores.reshape(-1), 0)
    labels = torch.arange(classes, device=boxes.device).expand(len(multi_scores), -1).reshape(-1)
    keep, kept = keep_best(boxes, scores, labels, nms_cfg, max_num)
    boxes = boxes[keep] * (kept > 0)[:, None]
    found = torch.cat([boxes, kept[:, None]], -1), labels[keep]
    return (*found, keep) if return_inds else found
