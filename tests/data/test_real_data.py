"""The published configs on real data through the flags alone, down to samples of the pipeline."""

from __future__ import annotations

import pytest
import torch
from mmengine.registry import DATASETS

from convnext_dense.config.steps.data import retarget
from convnext_dense.data.check import check_data

pytestmark = pytest.mark.slow

CAMVID = "sky,building,pole,road,pavement,tree,sign,fence,car,pedestrian,bicyclist"


def build(cfg, split):
    with DATASETS.switch_scope_and_registry(cfg.default_scope) as registry:
        return registry.build(cfg[f"{split}_dataloader"].dataset)


@pytest.mark.parametrize("box_only", [False, True])
def test_droplets(cascade, shared_data, box_only):
    cfg = retarget(
        cascade,
        data_root=str(shared_data / "droplets"),
        classes="droplet",
        ann_train="annotations/instances_train.json",
        ann_val="annotations/instances_val.json",
        img_size=320,
        box_only=box_only,
    )
    check_data(cfg, ("train", "val", "test"))
    train, val = build(cfg, "train"), build(cfg, "val")
    assert (len(train), len(val)) == (53, 19)
    assert train.metainfo["classes"] == ("droplet",)
    sample = train[0]
    assert min(sample["inputs"].shape[1:]) <= 320
    instances = sample["data_samples"].gt_instances
    assert len(instances) > 0
    assert set(instances.labels.tolist()) == {0}
    assert ("masks" in instances) is not box_only
    assert min(val[0]["inputs"].shape[1:]) == 320


def test_camvid(upernet, shared_data):
    cfg = retarget(upernet, data_root=str(shared_data / "camvid"), classes=CAMVID, img_size=128)
    check_data(cfg, ("train", "val", "test"))
    train, test = build(cfg, "train"), build(cfg, "test")
    assert (len(train), len(test)) == (123, 34)
    assert max(train[0]["inputs"].shape[1:]) <= 128  # the model pads what is smaller
    labels = torch.cat([test[i]["data_samples"].gt_sem_seg.data.unique() for i in range(8)])
    assert labels[labels != 255].max() == 10
    assert min(test[0]["inputs"].shape[1:]) == 128


def test_droplets_without_flags_say_what_to_do(mask_rcnn, shared_data):
    cfg = retarget(mask_rcnn, data_root=str(shared_data / "droplets"))
    with pytest.raises(
        FileNotFoundError, match=r"`ann_train`; .* annotations/instances_train\.json"
    ):
        check_data(cfg)
