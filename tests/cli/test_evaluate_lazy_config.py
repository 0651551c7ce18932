"""Tests and inference by a config in mmengine's newer style: classes for types, and little else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS

pytestmark = pytest.mark.slow

CONFIG = """
from mmcv.transforms import LoadImageFromFile, Resize
from mmengine.dataset import DefaultSampler
from mmengine.runner import TestLoop
from mmseg.datasets import BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations, PackSegInputs
from mmseg.evaluation import IoUMetric
from mmseg.models import EncoderDecoder, FCNHead, SegDataPreProcessor
from mmseg.models.losses import CrossEntropyLoss

from convnext_dense import ConvNeXt

model = dict(
    type=EncoderDecoder,
    data_preprocessor=dict(type=SegDataPreProcessor, mean=[128] * 3, std=[64] * 3, size=(64, 64)),
    backbone=dict(type=ConvNeXt, arch=dict(depths=[1, 1, 1, 1], channels=[8, 16, 32, 64])),
    decode_head=dict(
        type=FCNHead, in_channels=64, in_index=3, channels=8, num_convs=1, num_classes=3,
        norm_cfg=dict(type="BN"), loss_decode=dict(type=CrossEntropyLoss)),
    test_cfg=dict(mode="whole"))
test_dataloader = dict(
    sampler=dict(type=DefaultSampler, shuffle=False),
    dataset=dict(
        type=BaseSegDataset, data_root=ROOT, reduce_zero_label=True,
        metainfo=dict(classes=("left", "right", "disc")),
        data_prefix=dict(
            img_path="images/validation", seg_map_path="annotations/validation"),
        pipeline=[
            dict(type=LoadImageFromFile), dict(type=Resize, scale=(80, 64), keep_ratio=True),
            dict(type=LoadAnnotations, reduce_zero_label=True), dict(type=PackSegInputs)]))
test_evaluator = dict(type=IoUMetric)
test_cfg = dict(type=TestLoop)
"""


@pytest.fixture
def argv(ade) -> list[str]:
    """Write a config without default_scope and hooks, and a checkpoint; give their paths."""
    Path("lazy.py").write_text(CONFIG.replace("ROOT", repr(str(ade))))
    model = MODELS.build(Config.fromfile("lazy.py").model)
    torch.save(dict(state_dict=model.state_dict(), meta={}), "lazy.pth")
    return ["lazy.py", "lazy.pth"]


def test_is_tested_and_predicts(cli, argv, ade):
    status, _, err = cli.call("test", [*argv, "--work-dir", "w", "--out", "labels"])
    assert status == 0, err
    assert set(json.loads(Path("w/metrics.json").read_text())["metrics"]) == {
        "mIoU",
        "mAcc",
        "aAcc",
    }
    images = str(ade / "images/validation")
    status, _, err = cli.call("infer", [*argv, images, "--save", "masks", "--device", "cpu"])
    assert status == 0, err
    for folder in ("labels", "predictions/masks"):
        names = sorted(path.name for path in Path(folder).iterdir())
        assert names == ["0.png", "1.png", "2.png"]


def test_what_it_lacks_is_named(cli, argv):
    message = cli.refused("test", [*argv, "--show-dir", "drawn"])
    assert message.startswith("--show-dir needs default_hooks.visualization and visualizer in the")
