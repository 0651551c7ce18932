"""Clip decoded boxes at the border of the picture without changing them in place.

The exporter loses an operator in place on a part of a tensor, such as ``boxes[:, 0::2].clamp_()``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from convnext_dense.export.replacements.replace import Upstream, replaces

if TYPE_CHECKING:
    from mmengine.structures import InstanceData


def clip(boxes: Tensor, max_shape: Sequence[Any]) -> Tensor:
    """Return boxes (..., 4n) as x1, y1, x2, y2 inside of (height, width)."""
    pairs = boxes.reshape(*boxes.shape[:-1], -1, 2)
    x = pairs[..., 0].clamp(min=0, max=max_shape[1])
    y = pairs[..., 1].clamp(min=0, max=max_shape[0])
    return torch.stack([x, y], -1).flatten(-2)


@replaces("mmdet.models.task_modules.coders.delta_xywh_bbox_coder:delta2bbox")
def delta2bbox(
    original: Callable,
    rois: Tensor,
    deltas: Tensor,
    means: Sequence[float] = (0.0, 0.0, 0.0, 0.0),
    stds: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
    max_shape: Sequence[Any] | None = None,
    wh_ratio_clip: float = 16 / 1000,
    clip_border: bool = True,
    *args: object,
) -> Tensor:
    """Return decoded boxes, as mmdet's function."""
    boxes = original(rois, deltas, means, stds, None, wh_ratio_clip, clip_border, *args)
    return clip(boxes, max_shape) if clip_border and max_shape is not None else boxes


@replaces("mmdet.structures.bbox.transforms:distance2bbox")
def distance2bbox(
    original: Callable,
    points: Tensor,
    distance: Tensor,
    max_shape: Sequence[Any] | None = None,
) -> Tensor:
    """Return decoded boxes, as mmdet's function."""
    boxes = original(points, distance)
    return boxes if max_shape is None else clip(boxes, max_shape)


@replaces("mmdet.models.task_modules.coders.tblr_bbox_coder:tblr2bboxes")
def tblr2bboxes(
    original: Callable,
    priors: Tensor,
    tblr: Tensor,
    normalizer: Sequence[float] | float = 4.0,
    normalize_by_wh: bool = True,
    max_shape: Sequence[Any] | None = None,
    clip_border: bool = True,
) -> Tensor:
    """Return decoded boxes, as mmdet's function."""
    boxes = original(priors, tblr, normalizer, normalize_by_wh)
    return clip(boxes, max_shape) if clip_border and max_shape is not None else boxes


@replaces("mmdet.models.dense_heads.detr_head:DETRHead._predict_by_feat_single")
def detr_boxes(
    original: Callable,
    self: Upstream,
    cls_score: Tensor,
    bbox_pred: Tensor,
    img_meta: dict,
    rescale: bool = True,
) -> InstanceData:
    """Return the boxes of a picture, as mmdet's method of DETR and its kin."""
    assert not rescale  # boxes are wanted in pixels of the input
    results = original(self, cls_score, bbox_pred, img_meta, rescale)
    results.bboxes = clip(results.bboxes, img_meta["img_shape"])
    return results
