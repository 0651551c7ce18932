"""The boxes of DETR and its kin."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor

from convnext_dense.export.replacements.boxes import clip
from convnext_dense.export.replacements.replace import Upstream, replaces

if TYPE_CHECKING:
    from mmengine.structures import InstanceData


@replaces("mmdet.models.dense_heads.detr_head:DETRHead._predict_by_feat_single")
def predict(
    original: Callable,
    self: Upstream,
    cls_score: Tensor,
    bbox_pred: Tensor,
    img_meta: dict,
    rescale: bool = True,
) -> InstanceData:
    """Return the boxes of a picture, clipped once more: a trace loses what is done in place."""
    assert not rescale  # boxes are wanted in pixels of the input
    results = original(self, cls_score, bbox_pred, img_meta, rescale)
    results.bboxes = clip(results.bboxes, img_meta["img_shape"])
    return results
