"""Point the config at other data."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from mmengine.config import Config

from convnext_dense.config.data.box_only import drop_masks
from convnext_dense.config.data.classes import parse_classes, set_classes
from convnext_dense.config.data.image_size import set_image_size
from convnext_dense.config.data.paths import (
    apply_data_variable,
    match_suffixes,
    set_annotations,
    set_data_root,
)
from convnext_dense.config.state import Plan


def set_data(plan: Plan) -> Plan:
    """Apply CONVNEXT_DENSE_DATA and what is asked for of the data; see :func:`retarget`.

    Raises:
        ValueError: Where a value makes no sense or concerns nothing in the config.
        FileNotFoundError: Where annotations or their images are not found.
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
            batch_size=asked.batch_size,
            box_only=asked.box_only,
        )
    )


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

    Every loader, evaluator, pipeline and head that an argument concerns follows it. One that
    concerns nothing in the config is refused.

    Args:
        cfg: A config of mmdet or mmseg. It is not changed.
        data_root: The data set's folder.
        classes: Names, or one string with commas. Their order is that of the COCO
            file's categories, or of the labels in the label maps.
        img_size: Short side, or crop, in pixels; see
            :func:`~convnext_dense.config.data.image_size.set_image_size`.
        ann_train: A COCO file, or a segmenter's folder of label maps, absolute or
            relative to the data root. The images' folder is looked for.
        ann_val: The same for validation and test.
        batch_size: Training images per process.
        box_only: Whether to train and evaluate boxes alone.

    Returns:
        A new config.

    Raises:
        ValueError: Where a value makes no sense or concerns nothing in the config.
        FileNotFoundError: Where annotations or their images are not found.

    Example:
        >>> cfg = Config.fromfile('configs/det/mask_rcnn_convnext_t_coco.py')
        >>> cfg = retarget(cfg, classes='cat, dog', batch_size=4)
        >>> cfg.model.roi_head.mask_head.num_classes, cfg.train_dataloader.batch_size
        (2, 4)
    """
    if "model" not in cfg:
        raise ValueError(f"{cfg.filename or 'the config'} has no model: it is a part of a config")
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
