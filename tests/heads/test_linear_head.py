"""The linear head on frozen features, as DINOv3's authors evaluate them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn

from convnext_dense.heads import LinearHead

pytestmark = pytest.mark.slow

RECIPE = Path(__file__).parents[2] / "configs" / "seg" / "linear_dinov3_convnext_t_ade20k.py"


class TheirHead(nn.Module):
    """What dinov3's head computes, written anew from its description."""

    def __init__(self, head):
        super().__init__()
        self.norm, self.conv = head.norm, head.conv_seg

    def forward(self, maps):
        size = maps[0].shape[2:]
        x = torch.cat(
            [F.interpolate(x, size, mode="bilinear", align_corners=False) for x in maps], dim=1
        )
        x = F.dropout2d(x, 0.1, self.training)
        return self.conv(self.norm(x))


def linear_head(in_channels=(8, 12), **options):
    options = dict(in_index=(0, 1), input_transform="resize_concat") | options
    return LinearHead(in_channels, norm_cfg=dict(type="BN"), num_classes=5, **options)


@pytest.mark.parametrize("training", [True, False])
def test_computes_what_theirs_does(training):
    head = linear_head()
    nn.init.normal_(head.norm.weight)
    head.norm.running_mean.normal_()
    maps = [torch.randn(3, 8, 6, 7), torch.randn(3, 12, 3, 4)]
    theirs = TheirHead(head).train(training)
    results = []
    for one in (head.train(training), theirs):
        head.norm.running_var.fill_(2.0)
        torch.manual_seed(7)
        results.append(one(maps))
    torch.testing.assert_close(*results)


def test_one_map():
    head = linear_head(16, in_index=1, input_transform=None).eval()
    maps = (torch.zeros(2, 8, 4, 4), torch.randn(2, 16, 3, 5))
    torch.testing.assert_close(head(maps), head.conv_seg(head.norm(maps[1])))
    assert {name for name, _ in head.named_parameters()} == {
        *("norm.weight", "norm.bias", "conv_seg.weight", "conv_seg.bias"),
    }


@pytest.fixture
def segmenter():
    cfg = Config.fromfile(RECIPE)
    cfg.merge_from_dict(
        {
            "model.backbone.arch": "atto",
            "model.backbone.init_cfg": None,
            "model.backbone.drop_path_rate": 0.5,
            "model.decode_head.in_channels": 320,
            "model.data_preprocessor.size": (64, 64),
        }
    )
    with DefaultScope.overwrite_default_scope("mmseg"):
        model = revert_sync_batchnorm(MODELS.build(cfg.model))
        model.init_weights()
        yield model


def sample():
    found = SegDataSample(metainfo=dict(img_shape=(64, 64)))
    found.gt_sem_seg = PixelData(data=torch.randint(0, 150, (1, 64, 64)))
    return found


def test_a_recipe_trains_its_head_alone(segmenter):
    segmenter.train()
    layers = [m for m in segmenter.backbone.modules() if not list(m.children())]
    assert not any(layer.training for layer in layers)
    assert segmenter.decode_head.norm.training
    saved = []
    images = torch.randn(2, 3, 64, 64)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        (features,) = segmenter.extract_feat(images)
    assert features.grad_fn is None and not saved
    loss = segmenter.loss(images, [sample(), sample()])["decode.loss_ce"]
    loss.backward()
    trained = {name for name, p in segmenter.named_parameters() if p.grad is not None}
    assert trained == {name for name, _ in segmenter.named_parameters() if "decode_head" in name}
