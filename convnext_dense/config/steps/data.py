"""Point the config at other data."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from mmengine.config import Config

from convnext_dense.config.checks.values import check_sections
from convnext_dense.config.data.box_only import drop_masks
from convnext_dense.config.data.classes import parse_classes, set_classes
from convnext_dense.config.data.image_size import set_image_size
from convnext_dense.config.data.paths import (
    apply_data_variable,
    match_suffixes,
    set_annotations,
    set_data_root,
)
from convnext_dense.config.options import AUTO
from convnext_dense.config.state import Plan


def set_data(plan: Plan) -> Plan:
    """Apply CONVNEXT_DENSE_DATA and the options of the data; see :func:`retarget`.

    Raises:
        ValueError: If a value makes no sense or has nothing to change in the config.
        FileNotFoundError: If annotations or their images are not found.
    """
    asked = plan.options
    cfg = plan.config if asked.data_root is not None else apply_data_variable(plan.config)
    return plan.changed(
        retarget(
            cfg,
            data_root=asked.data_root,
            classes=asked.classes,
            img_size=asked.img_size,
            ann_train=asked.ann_train,
            ann_val=asked.ann_val,
            batch_size=_stated_batch_size(plan),
            box_only=asked.box_only,
        )
    )


def _stated_batch_size(plan: Plan) -> int | None:
    """Return the batch size, or None if none was given, or if it will be found on the GPU.

    Raises:
        ValueError: If it is ``auto``, but nothing is trained or there is no GPU.
    """
    size = plan.options.batch_size
    if size is None or isinstance(size, int):
        return size
    option = f"`batch_size={size!r}`"
    if size != AUTO:
        raise ValueError(f"{option}: take a number, or {AUTO!r}")
    if "train" not in plan.splits:
        raise ValueError(f"{option} is for a training: give a number")
    if not torch.cuda.is_available():
        raise ValueError(
            f"{option} tries what fits into a GPU's memory, but torch sees no GPU: give a number"
        )
    return None


def retarget(
    cfg: Config,
    *,
    data_root: str | None = None,
    classes: str | Sequence[str] | None = None,
    img_size: int | None = None,
    ann_train: str | None = None,
    ann_val: str | None = None,
    batch_size: int | None = None,
    box_only: bool = False,
) -> Config:
    """Point a detection or segmentation config at other data.

    An argument changes all loaders, evaluators, pipelines and heads that it applies to. An argument
    that has nothing to change in the config is refused.

    Args:
        cfg: A config of mmdet or mmseg. It is not changed.
        data_root, classes, img_size, ann_train, ann_val, batch_size, box_only: As for
            :class:`~convnext_dense.config.options.RunOptions`.

    Returns:
        A new config.

    Raises:
        ValueError: If a value makes no sense or has nothing to change in the config.
        FileNotFoundError: If annotations or their images are not found.

    Example:
        >>> cfg = Config.fromfile('configs/det/mask_rcnn_convnext_t_coco.py')
        >>> cfg = retarget(cfg, classes='cat, dog', batch_size=4)
        >>> cfg.model.roi_head.mask_head.num_classes, cfg.train_dataloader.batch_size
        (2, 4)
    """
    check_sections(cfg, ["model"])
    cfg = copy.deepcopy(cfg)
    if data_root is not None:
        set_data_root(cfg, data_root)
    if classes is not None:
        set_classes(cfg, parse_classes(classes))
    if ann_train is not None:
        set_annotations(cfg, "ann_train", ann_train)
    if ann_val is not None:
        set_annotations(cfg, "ann_val", ann_val)
    match_suffixes(cfg)
    if img_size is not None:
        set_image_size(cfg, img_size)
    if batch_size is not None:
        set_batch_size(cfg, batch_size)
    if box_only:
        drop_masks(cfg)
    return cfg


def set_batch_size(cfg: Config, batch_size: int) -> None:
    """Set the training loader's images per process."""
    if batch_size < 1:
        raise ValueError(f"`batch_size` is at least 1, got {batch_size}")
    if not cfg.get("train_dataloader"):
        raise ValueError("`batch_size`: the config has no train_dataloader")
    cfg.train_dataloader.batch_size = batch_size
