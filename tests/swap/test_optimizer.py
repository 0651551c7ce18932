"""What becomes of the optimizer."""

from __future__ import annotations

import pytest
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from torch import nn

from convnext_dense.swap import plan_swap

from ..configs import load

pytestmark = pytest.mark.slow

RETINANET = "mmdet::retinanet/retinanet_r50_fpn_1x_coco.py"
MASK2FORMER = "mmdet::mask2former/mask2former_swin-t-p4-w7-224_8xb2-lsj-50e_coco.py"
BEIT = "mmseg::beit/beit-base_upernet_8xb2-160k_ade20k-640x640.py"
UPERNET_SWIN = "mmseg::swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py"


def test_keep_keeps_and_warns_of_sgd():
    cfg = load(RETINANET)
    swap = plan_swap(cfg, "atto")
    assert swap.config.optim_wrapper == cfg.optim_wrapper
    assert swap.config.param_scheduler == cfg.param_scheduler
    assert any("SGD at lr=0.01 is kept" in message for message in swap.warnings)


def test_keep_warns_of_a_rate_for_another_kind_of_net():
    swap = plan_swap(load("mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py"), "atto")
    assert any("AdamW at lr=0.004 is kept" in message for message in swap.warnings)


def test_keep_does_not_warn_of_a_transformer_recipe():
    assert not any("is kept" in m for m in plan_swap(load(UPERNET_SWIN), "atto").warnings)


@pytest.mark.parametrize(
    ("name", "lr", "paramwise"),
    [
        (RETINANET, 2e-4, dict(decay_rate=0.7, decay_type="layer_wise")),
        (BEIT, 1e-4, dict(decay_rate=0.9, decay_type="stage_wise")),
    ],
)
def test_convnext_puts_the_published_optimizer(name, lr, paramwise):
    wrapper = plan_swap(load(name), "atto", recipe="convnext").config.optim_wrapper
    assert wrapper.optimizer == dict(type="AdamW", lr=lr, betas=(0.9, 0.999), weight_decay=0.05)
    assert wrapper.constructor == "ConvNeXtOptimWrapperConstructor"
    assert wrapper.paramwise_cfg == paramwise


def test_the_rate_grows_with_the_root_of_the_batch():
    cfg = load(RETINANET)
    cfg.auto_scale_lr = dict(base_batch_size=64)
    assert plan_swap(cfg, "atto", recipe="convnext").config.optim_wrapper.optimizer.lr == 4e-4


def test_clipping_and_keys_of_the_heads_stay():
    wrapper = plan_swap(load(MASK2FORMER), "atto", recipe="convnext").config.optim_wrapper
    assert wrapper.clip_grad == dict(max_norm=0.01, norm_type=2)
    assert set(wrapper.paramwise_cfg.custom_keys) == {"query_embed", "query_feat", "level_embed"}


def test_keys_of_the_old_norms_become_keys_of_the_new():
    swap = plan_swap(load(MASK2FORMER), dict(depths=[1, 1, 1, 1], channels=[8, 16, 24, 32]))
    keys = swap.config.optim_wrapper.paramwise_cfg.custom_keys
    assert not [key for key in keys if "blocks" in key or "position" in key]
    assert keys["backbone"] == dict(lr_mult=0.1, decay_mult=1.0)
    model = nn.Module()
    model.backbone = MODELS.build(swap.config.model.backbone)
    wrapper = build_optim_wrapper(model, swap.config.optim_wrapper)
    decays = {
        id(group["params"][0]): group["weight_decay"] for group in wrapper.optimizer.param_groups
    }
    for name, parameter in model.named_parameters():
        is_norm = "norm" in name or name.startswith("backbone.downsample_layers.0.1")
        if is_norm or (".0." in name and name.endswith(("1.0.weight", "1.0.bias"))):
            assert decays[id(parameter)] == 0, name
        if name.endswith(("pwconv1.weight", "dwconv.weight")):
            assert decays[id(parameter)] == 0.05, name


def test_upstreams_layer_decay_becomes_ours():
    wrapper = plan_swap(load(BEIT), "atto").config.optim_wrapper
    assert wrapper.constructor == "ConvNeXtOptimWrapperConstructor"
    assert wrapper.paramwise_cfg == dict(decay_rate=0.9, decay_type="layer_wise")
