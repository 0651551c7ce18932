"""Instance masks over the whole picture, of Mask2Former and RTMDet-Ins.

A pixel has a logit instead of being true or false: as upstream does, whoever runs the model resizes
the masks first, and compares with the threshold then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from convnext_dense.export.replacements.nms import keep_best
from convnext_dense.export.replacements.replace import Upstream, replaces

if TYPE_CHECKING:
    from mmengine.config import ConfigDict
    from mmengine.structures import InstanceData


def bounds(inside: Tensor) -> Tensor:
    """Return boxes (N, 4) around what is true in masks (N, H, W); an empty mask has zeros."""
    return torch.cat([_range(inside.any(1)), _range(inside.any(2))], -1)[:, [0, 2, 1, 3]]


def _range(inside: Tensor) -> Tensor:
    """Return the first place that is true, and the one after the last, of rows (N, L): (N, 2)."""
    places = torch.arange(inside.shape[1], device=inside.device)
    first = torch.where(inside, places, inside.shape[1]).amin(1)
    end = torch.where(inside, places + 1, 0).amax(1)
    return torch.stack([first.minimum(end), end], -1).float()


@replaces(
    "mmdet.models.seg_heads.panoptic_fusion_heads.maskformer_fusion_head:"
    "MaskFormerFusionHead.instance_postprocess"
)
def mask_former_instances(
    original: Callable,
    self: Upstream,
    mask_cls: Tensor,
    mask_pred: Tensor,
) -> InstanceData:
    """Return the best pairs of a query and a class by falling score, with logits as masks."""
    from mmengine.structures import InstanceData

    inside = (mask_pred > 0).float()
    quality = (mask_pred.sigmoid() * inside).flatten(1).sum(1) / (inside.flatten(1).sum(1) + 1e-6)
    scores = mask_cls.softmax(-1)[:, :-1].flatten()
    scores, pairs = scores.topk(min(self.test_cfg.get("max_per_image", 100), int(scores.shape[0])))
    is_thing = pairs % self.num_classes < self.num_things_classes
    scores = torch.where(is_thing, scores * quality[pairs // self.num_classes], 0)
    scores, order = scores.sort(descending=True)
    queries, labels = pairs[order] // self.num_classes, pairs[order] % self.num_classes
    boxes = bounds(mask_pred > 0)[queries]
    return InstanceData(bboxes=boxes, labels=labels, scores=scores, masks=mask_pred[queries])


@replaces("mmdet.models.dense_heads.rtmdet_ins_head:RTMDetInsHead._bbox_mask_post_process")
def rtmdet_instances(
    original: Callable,
    self: Upstream,
    results: InstanceData,
    mask_feat: Tensor,
    cfg: ConfigDict,
    rescale: bool = False,
    with_nms: bool = True,
    img_meta: dict | None = None,
) -> InstanceData:
    """Return the best boxes, with logits as masks."""
    assert not rescale and img_meta  # boxes are wanted in pixels of the input
    scores = results.scores
    if "score_factors" in results:
        scores = scores * results.pop("score_factors")
    if (least := cfg.get("min_bbox_size", -1)) >= 0:
        sides = results.bboxes[:, 2:] - results.bboxes[:, :2]
        scores = torch.where((sides > least).all(-1), scores, 0)
    keep, kept = keep_best(results.bboxes, scores, results.labels, cfg.nms, cfg.max_per_img)
    results = results[keep]
    results.bboxes, results.scores = results.bboxes * (kept > 0)[:, None], kept
    logits = self._mask_predict_by_feat_single(mask_feat, results.kernels, results.priors)
    stride = self.prior_generator.strides[0][0]
    logits = F.interpolate(logits[None], scale_factor=stride, mode="bilinear")[0]
    height, width = img_meta["img_shape"][:2]
    results.masks = logits[:, :height, :width]
    return results


@replaces("mmdet.models.dense_heads.rtmdet_ins_head:RTMDetInsHead._mask_predict_by_feat_single")
def rtmdet_mask_logits(
    original: Callable,
    self: Upstream,
    mask_feat: Tensor,
    kernels: Tensor,
    priors: Tensor,
) -> Tensor:
    """Return the logits of each object's mask, (N, H, W).

    mmdet computes one convolution with a group per object, whose number a graph cannot leave open.
    """
    if not torch.jit.is_tracing():
        return original(self, mask_feat, kernels, priors)
    return dynamic_masks(self, mask_feat, kernels, priors)


def dynamic_masks(head: Upstream, features: Tensor, kernels: Tensor, priors: Tensor) -> Tensor:
    """Return masks (N, H, W) by products of matrices, one per object, to 1e-5.

    Args:
        head: An RTMDetInsHead.
        features: (C, H, W).
        kernels: (N, P), the weights and biases of each object's 1x1 convolutions.
        priors: (N, 4): x, y and the two strides of the place that found an object.
    """
    height, width = features.shape[-2:]
    grid = head.prior_generator.single_level_grid_priors(
        (height, width), level_idx=0, device=features.device
    )
    x = (priors[:, None, :2] - grid[None]).transpose(1, 2) / (priors[:, 2, None, None] * 8)
    x = torch.cat([x, features.flatten(1)[None].expand(len(priors), -1, -1)], 1)
    parts = kernels.split([*head.weight_nums, *head.bias_nums], 1)
    layers = len(head.weight_nums)
    for layer, (weight, bias) in enumerate(zip(parts[:layers], parts[layers:], strict=True)):
        outputs = head.bias_nums[layer]
        weight = weight.unflatten(1, (outputs, -1))
        x = weight @ x + bias[:, :, None]
        if layer < layers - 1:
            x = x.relu()
    return x.reshape(-1, height, width)
