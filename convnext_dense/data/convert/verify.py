"""Check a result with the rules by which every run checks its data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

from convnext_dense.data.audit import audit_data
from convnext_dense.data.convert.write import MAP_FOLDERS
from convnext_dense.data.rules.findings import ERROR

# The smallest images on which the recipes train.
_SMALLEST = 32


def verify(
    out: Path, form: str, classes: Sequence[str], splits: Sequence[str], masks: bool
) -> None:
    """Check a converted data set as ``data check`` does, whose pictures were opened before.

    Args:
        out: Its folder.
        form: ``instances`` or ``label-maps``.
        classes: Its classes.
        splits: The splits that it has.
        masks: Whether all of its objects have masks.

    Raises:
        ValueError: If a training on it would fail or be wrong.
    """
    describe = _instances if form == "instances" else _label_maps
    scope = "mmdet" if form == "instances" else "mmseg"
    cfg = Config(dict(default_scope=scope, model=dict(), **describe(out, classes, splits, masks)))
    for finding in audit_data(cfg, fast=True, workers=0).findings:
        if finding.level == ERROR:
            raise ValueError(f"the result would be wrong, so none is left: {finding.sentence}")


def _instances(out: Path, classes: Sequence[str], splits: Sequence[str], masks: bool) -> dict:
    pipeline = [
        dict(type="LoadImageFromFile"),
        dict(type="LoadAnnotations", with_bbox=True, with_mask=masks),
    ]
    return {
        f"{split}_dataloader": dict(
            dataset=dict(
                type="CocoDataset",
                data_root=str(out),
                ann_file=f"annotations/instances_{split}.json",
                data_prefix=dict(img=f"{split}/"),
                metainfo=dict(classes=tuple(classes)),
                filter_cfg=dict(filter_empty_gt=True, min_size=_SMALLEST),
                pipeline=pipeline,
            )
        )
        for split in splits
    }


def _label_maps(out: Path, classes: Sequence[str], splits: Sequence[str], masks: bool) -> dict:
    pipeline = [
        dict(type="LoadImageFromFile"),
        dict(type="LoadAnnotations", reduce_zero_label=True),
    ]
    return {
        f"{split}_dataloader": dict(
            dataset=dict(
                type="BaseSegDataset",
                data_root=str(out),
                data_prefix=dict(
                    img_path=f"images/{MAP_FOLDERS[split]}",
                    seg_map_path=f"annotations/{MAP_FOLDERS[split]}",
                ),
                img_suffix=_ending(out / "images" / MAP_FOLDERS[split]),
                metainfo=dict(classes=tuple(classes)),
                reduce_zero_label=True,
                pipeline=pipeline,
            )
        )
        for split in splits
    }


def _ending(folder: Path) -> str:
    return next((path.suffix for path in folder.rglob("*") if path.is_file()), ".jpg")
