"""The masks of RoI heads on each box's own grid: whoever runs the model pastes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from convnext_dense.export.replacements.replace import Upstream, replaces

if TYPE_CHECKING:
    from mmengine.config import ConfigDict


@replaces("mmdet.models.roi_heads.mask_heads.fcn_mask_head:FCNMaskHead._predict_by_feat_single")
def mask_probabilities(
    original: Callable,
    self: Upstream,
    mask_preds: Tensor,
    bboxes: Tensor,
    labels: Tensor,
    img_meta: dict,
    rcnn_test_cfg: ConfigDict,
    rescale: bool = False,
    activate_map: bool = False,
) -> Tensor:
    """Return the probability that a cell of a box's grid belongs to its object, (N, h, w)."""
    masks = mask_preds if activate_map else mask_preds.sigmoid()
    if self.class_agnostic:
        return masks[:, 0]
    return masks[torch.arange(len(labels), device=labels.device), labels]
