"""Apply ``box_only``: remove the masks of a detector, for data without masks."""

from __future__ import annotations

from mmengine.config import Config, ConfigDict

from convnext_dense.config_tree import evaluators, transforms, type_name, walk
from convnext_dense.heads.transformers.configs import DETECTOR, HEADS

# RoI heads that work without a mask head.
_MASK_IS_OPTIONAL = ("StandardRoIHead", "CascadeRoIHead")


def drop_masks(cfg: Config) -> None:
    """Make a config train and evaluate only boxes.

    Args:
        cfg: Changed in place: mask head, pipelines, evaluators, the best checkpoint's metric.

    Raises:
        ValueError: If the model has no mask head, or needs its mask head.
    """
    if box_head(cfg.model) is None:
        _drop_mask_head(cfg)
    for _, node in walk(cfg.model.get("data_preprocessor")):
        if "pad_mask" in node:
            node.pad_mask = False
    for _, transform, key in _loading_masks(cfg):
        transform[key] = False
    for _, evaluator in _measuring_masks(cfg):
        evaluator.metric = "bbox"
    checkpoint = cfg.get("default_hooks", {}).get("checkpoint", {})
    save_best = checkpoint.get("save_best")
    if isinstance(save_best, str):
        checkpoint.save_best = save_best.replace("segm_mAP", "bbox_mAP")


def _drop_mask_head(cfg: Config) -> None:
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


def box_head(model: ConfigDict) -> str | None:
    """Return the name of a model's head of transformers that finds boxes and no masks, or None."""
    if type_name(model) != DETECTOR:
        return None
    kind = HEADS.get(model.head.get("type"))
    return model.head.type if kind and kind.finds_boxes_alone else None


def check_masks(cfg: Config) -> None:
    """Refuse masks for a head that finds boxes alone.

    Raises:
        ValueError: If a pipeline loads masks, or an evaluator measures them.
    """
    head = box_head(cfg.model)
    if head is None:
        return
    places = [f"{path} has {key}=True" for path, _, key in _loading_masks(cfg)]
    places += [f"{path} measures masks (segm)" for path, _ in _measuring_masks(cfg)]
    if places:
        raise ValueError(
            f"{places[0]}, and the head {head} finds boxes alone: use `box_only=True`, or "
            "model.head.type='mask2former'"
        )


def _loading_masks(cfg: Config) -> list[tuple[str, ConfigDict, str]]:
    """List the transforms that load or read masks, with the keys that make them do so."""
    return [
        (path, transform, key)
        for path, transform in transforms(cfg)
        for key in ("with_mask", "by_mask")
        if transform.get(key)
    ]


def _measuring_masks(cfg: Config) -> list[tuple[str, ConfigDict]]:
    return [
        (path, evaluator)
        for split in ("val", "test")
        for path, evaluator in evaluators(cfg, split)
        if "segm" in evaluator.get("metric", ())
    ]
