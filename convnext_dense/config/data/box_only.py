"""Apply ``box_only``: remove the masks of a detector, for data without masks."""

from __future__ import annotations

from mmengine.config import Config

from convnext_dense.config_tree import evaluators, transforms, walk

# RoI heads that work without a mask head.
_MASK_IS_OPTIONAL = ("StandardRoIHead", "CascadeRoIHead")


def drop_masks(cfg: Config) -> None:
    """Make a config train and evaluate only boxes.

    Args:
        cfg: Changed in place: mask head, pipelines, evaluators, the best checkpoint's metric.

    Raises:
        ValueError: If the model has no mask head, or needs its mask head.
    """
    roi_head = cfg.model.get("roi_head", {})
    if not ("bbox_head" in roi_head and roi_head.get("mask_head")):
        raise ValueError(
            f"`box_only`: the model {cfg.model.type} has no mask head beside a box head to remove: "
            "leave it out, or take a Mask R-CNN or a Cascade"
        )
    if roi_head.type not in _MASK_IS_OPTIONAL:
        raise ValueError(
            f"`box_only`: a {roi_head.type} cannot work without masks, but "
            f"{' or '.join(_MASK_IS_OPTIONAL)} can"
        )
    for key in ("mask_head", "mask_roi_extractor"):
        roi_head.pop(key, None)
    for _, node in walk(cfg.model.get("data_preprocessor")):
        if "pad_mask" in node:
            node.pad_mask = False
    for _, transform in transforms(cfg):
        for key in ("with_mask", "by_mask"):
            if transform.get(key):
                transform[key] = False
    for split in ("val", "test"):
        for _, evaluator in evaluators(cfg, split):
            if "segm" in evaluator.get("metric", ()):
                evaluator.metric = "bbox"
    checkpoint = cfg.get("default_hooks", {}).get("checkpoint", {})
    save_best = checkpoint.get("save_best")
    if isinstance(save_best, str):
        checkpoint.save_best = save_best.replace("segm_mAP", "bbox_mAP")
