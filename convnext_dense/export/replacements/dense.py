"""The predictions of dense heads, and proposals, with a fixed number of rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from convnext_dense.export.replacements.nms import keep_best
from convnext_dense.export.replacements.replace import Upstream, replaces

if TYPE_CHECKING:
    from mmengine.config import ConfigDict
    from mmengine.structures import InstanceData


@replaces("mmdet.models.utils.misc:filter_scores_and_topk")
def filter_scores_and_topk(
    original: Callable,
    scores: Tensor,
    score_thr: float,
    topk: int,
    results: dict | list | Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, dict | list | Tensor | None]:
    """Return the ``topk`` best scores, labels, rows and results of them, as mmdet's function.

    Where fewer scores are above the threshold, the last ones are 0 and belong to row 0.
    """
    classes = int(scores.shape[1])
    best = torch.where(scores > score_thr, scores, 0).reshape(-1)
    if topk > 0:
        # More rows than wanted, also in a small picture.
        best, indices = torch.cat([best, best.new_zeros(topk)]).topk(topk)
    else:
        best, indices = best.sort(descending=True)
    indices = torch.where(best > 0, indices, 0)
    rows, labels = indices // classes, indices % classes
    if isinstance(results, dict):
        return best, labels, rows, {key: value[rows] for key, value in results.items()}
    if isinstance(results, list):
        return best, labels, rows, [value[rows] for value in results]
    return best, labels, rows, None if results is None else results[rows]


@replaces("mmdet.models.dense_heads.rpn_head:RPNHead._predict_by_feat_single")
def predict_proposals(
    original: Callable,
    self: Upstream,
    cls_score_list: Sequence[Tensor],
    bbox_pred_list: Sequence[Tensor],
    score_factor_list: Sequence[Tensor],
    mlvl_priors: Sequence[Tensor],
    img_meta: dict,
    cfg: ConfigDict | None,
    rescale: bool = False,
    with_nms: bool = True,
) -> InstanceData:
    """Return the proposals of a picture, as mmdet's method."""
    from mmdet.models.utils import filter_scores_and_topk
    from mmengine.structures import InstanceData

    cfg = self.test_cfg if cfg is None else cfg
    chosen: dict[str, list[Tensor]] = {"scores": [], "deltas": [], "priors": [], "level_ids": []}
    for level, (logits, deltas, priors) in enumerate(
        zip(cls_score_list, bbox_pred_list, mlvl_priors, strict=True)
    ):
        deltas = deltas.permute(1, 2, 0).reshape(-1, self.bbox_coder.encode_size)
        logits = logits.permute(1, 2, 0).reshape(-1, self.cls_out_channels)
        scores = logits.sigmoid() if self.use_sigmoid_cls else logits.softmax(-1)[:, :-1]
        scores, _, _, rest = filter_scores_and_topk(
            scores, 0, cfg.get("nms_pre", -1), dict(deltas=deltas, priors=priors)
        )
        level_ids = torch.full_like(scores, level, dtype=torch.long)
        for key, value in dict(rest, scores=scores, level_ids=level_ids).items():
            chosen[key].append(value)
    scores, deltas, priors, level_ids = (torch.cat(values) for values in chosen.values())
    boxes = self.bbox_coder.decode(priors, deltas, max_shape=img_meta["img_shape"])
    results = InstanceData(bboxes=boxes, scores=scores, level_ids=level_ids)
    return self._bbox_post_process(results=results, cfg=cfg, rescale=rescale, img_meta=img_meta)


@replaces(
    "mmdet.models.dense_heads.base_dense_head:BaseDenseHead._bbox_post_process",
    "mmdet.models.dense_heads.rpn_head:RPNHead._bbox_post_process",
)
def post_process(
    original: Callable,
    self: Upstream,
    results: InstanceData,
    cfg: ConfigDict,
    rescale: bool = False,
    with_nms: bool = True,
    img_meta: dict | None = None,
) -> InstanceData:
    """Return the ``max_per_img`` best results, as mmdet's; a missing one has an empty box."""
    from mmdet.structures.bbox import get_box_tensor

    assert not rescale  # boxes are wanted in pixels of the input
    boxes, scores = get_box_tensor(results.bboxes), results.scores
    if "score_factors" in results:
        scores = scores * results.pop("score_factors")
    if (least := cfg.get("min_bbox_size", -1)) >= 0:
        sides = boxes[:, 2:] - boxes[:, :2]
        scores = torch.where((sides > least).all(-1), scores, 0)
    if not with_nms:
        results.scores = scores
        return results
    groups = results.level_ids if "level_ids" in results else results.labels
    keep, kept = keep_best(boxes, scores, groups, cfg.nms, cfg.max_per_img)
    results = results[keep]
    results.bboxes, results.scores = results.bboxes * (kept > 0)[:, None], kept
    return results
