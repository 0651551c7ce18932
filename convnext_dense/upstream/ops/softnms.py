"""Soft non-maximum suppression, as ``mmcv._ext`` defines it."""

from __future__ import annotations

import torch
from torch import Tensor

from convnext_dense.upstream.ops.nms import pairwise_iou

NAIVE, LINEAR, GAUSSIAN = range(3)


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Lower the scores of overlapping boxes instead of dropping them (soft-NMS).

    Args:
        boxes: (N, 4) as x1, y1, x2, y2.
        scores: (N,).
        dets: (N, 5), written: the first K rows become the kept boxes with their new scores.
        iou_threshold: overlap from which the naive and the linear method act.
        sigma: width of the Gaussian method.
        min_score: a box whose score falls below this goes.
        method: 0 naive (a score becomes 0), 1 linear (times 1 - IoU), 2 Gaussian
            (times exp(-IoU² / sigma)).
        offset: 0 or 1, added to every width and height.

    Returns:
        Indices of the kept boxes in the order in which they were taken, int64 of shape (K,).
    """
    rest = torch.arange(len(boxes), device=boxes.device)
    scores = scores.clone()
    kept: list[Tensor] = []
    while len(rest):
        best = rest[scores[rest].argmax()]
        dets[len(kept), :4] = boxes[best]
        dets[len(kept), 4] = scores[best]
        kept.append(best)
        rest = rest[rest != best]
        # Two boxes without area have an IoU of 0/0: they do not overlap.
        iou = pairwise_iou(boxes[best, None], boxes[rest], offset)[0].nan_to_num_(nan=0)
        if method == GAUSSIAN:
            weight = torch.exp(-(iou * iou) / sigma)
        else:
            lowered = 1 - iou if method == LINEAR else torch.zeros_like(iou)
            weight = torch.where(iou >= iou_threshold, lowered, 1)
        scores[rest] *= weight
        rest = rest[scores[rest] >= min_score]
    return torch.stack(kept) if kept else rest
