"""Which data sets of a config are checked, and what is compared between them."""

from __future__ import annotations

import shutil

import pytest
from mmengine.config import Config
from PIL import Image

from convnext_dense.data.audit import audit_data

TRAIN = "annotations/instances_train.json"
VAL = "annotations/instances_val.json"


def test_a_picture_in_training_and_validation(cfg_on, coco_set):
    root = coco_set()
    shutil.copy(root / "train" / "1.jpg", root / "val" / "2.jpg")
    (warning,) = audit_data(cfg_on(root)).findings
    assert (warning.level, warning.count) == ("warning", 1)
    assert warning.places == (f"{root}/train/1.jpg is {root}/val/2.jpg",)


def test_fast_finds_the_same_files_in_training_and_validation(cfg_on, coco_set):
    cfg = cfg_on(coco_set(), ann_val=TRAIN)
    (warning,) = audit_data(cfg, fast=True).findings
    assert warning.what.endswith("by their path") and warning.count == 2


def test_wrapped_data_sets_are_walked(cfg_on, coco_set):
    root = coco_set()
    cfg = cfg_on(root)
    inner = cfg.train_dataloader.dataset
    other = {**inner, "ann_file": VAL, "data_prefix": dict(img="train/")}
    concat = dict(type="ConcatDataset", datasets=[inner, dict(other)])
    mixed = dict(type="MultiImageMixDataset", dataset=concat, pipeline=[])
    cfg.train_dataloader.dataset = dict(type="RepeatDataset", times=2, dataset=mixed)
    (root / "train" / "1.jpg").write_bytes(b"")
    audit = audit_data(cfg)
    place = "train_dataloader.dataset.dataset.dataset.datasets"
    assert [c.key for c in audit.checked[:2]] == [f"{place}.0", f"{place}.1"]
    assert [(f.what, f.count) for f in audit.findings] == [("images that cannot be read", 1)] * 2


@pytest.mark.slow
def test_many_pictures_are_opened_by_workers(cfg_on, coco_set):
    def more(content):
        content["images"] += [
            dict(id=i, file_name=f"{i}.png", width=64, height=48) for i in range(3, 40)
        ]

    root = coco_set(more)
    for i in range(3, 40):
        Image.new("RGB", (64, 48 + (i == 30))).save(root / "train" / f"{i}.png")
        Image.new("RGB", (64, 48), (0, 0, i)).save(root / "val" / f"{i}.png")
    audit = audit_data(cfg_on(root), workers=2)
    (error,) = [finding for finding in audit.findings if finding.level == "error"]
    assert error.places == (f"{root}/train/30.png: 64 x 49, annotated 64 x 48",)


def test_other_readers_are_checked_as_far_as_they_go(cfg_on, tmp_path):
    folder = tmp_path / "VOC2007"
    for name in ("JPEGImages", "Annotations"):
        (folder / name).mkdir(parents=True)
    for i, xmax in ((1, 20), (2, 90)):
        Image.new("RGB", (64, 48), (i, 0, 0)).save(folder / "JPEGImages" / f"{i}.jpg")
        box = f"<xmin>5</xmin><ymin>5</ymin><xmax>{xmax}</xmax><ymax>30</ymax>"
        (folder / "Annotations" / f"{i}.xml").write_text(
            "<annotation><size><width>64</width><height>48</height></size><object>"
            f"<name>cat</name><difficult>0</difficult><bndbox>{box}</bndbox></object></annotation>"
        )
    (folder / "train.txt").write_text("1\n2\n")
    cfg = cfg_on_voc(tmp_path)
    audit = audit_data(cfg)
    assert audit.checked[0].rows[0]["objects"] == 2
    assert [finding.what.partition(":")[0] for finding in audit.findings] == [
        "boxes that exceed their image by more than 1 px",
        "train_dataloader.dataset is a VOCDataset",
    ]


def cfg_on_voc(root):
    dataset = dict(
        type="VOCDataset",
        data_root=str(root),
        ann_file="VOC2007/train.txt",
        data_prefix=dict(sub_data_root="VOC2007/"),
        metainfo=dict(classes=("cat",)),
    )
    return Config(
        dict(
            default_scope="mmdet",
            model=dict(bbox_head=dict(num_classes=1)),
            train_dataloader=dict(dataset=dataset),
        )
    )


def test_a_config_without_data(cfg_on, coco_set):
    with pytest.raises(ValueError, match="has no data set to check"):
        audit_data(Config(dict(model=dict())))
