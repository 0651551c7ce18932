"""Configs of the zoos with an isotropic backbone: the pyramid, what reads it, and what changes."""

from __future__ import annotations

import pytest

from convnext_dense.swap import plan_swap
from convnext_dense.swap.trial import run_trial

from ..configs import load

pytestmark = pytest.mark.slow

SMALL = dict(depths=(2,), channels=(32,), isotropic=True)
MASK = "mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py"
RETINANET = "mmdet::retinanet/retinanet_r50_fpn_1x_coco.py"
UPERNET = "mmseg::upernet/upernet_r50_4xb4-160k_ade20k-512x512.py"
PYRAMID = dict(type="SimpleFeaturePyramid", in_channels=384, out_channels=256)
WEIGHTS = dict(type="Pretrained", checkpoint="some.pth")


def model_of(name, arch="iso_small", **kwargs):
    return plan_swap(load(name), arch, **kwargs).config.model


def test_takes_the_place_of_an_fpn():
    swap = plan_swap(load(MASK), "iso_small")
    assert swap.tier == "native"
    backbone = swap.config.model.backbone
    assert (backbone.arch, backbone.out_indices) == ("iso_small", (0,))
    assert swap.config.model.neck == dict(PYRAMID, num_outs=5)


def test_stands_before_an_fpn_that_learns_its_extra_levels():
    pyramid, fpn = model_of(RETINANET).neck
    assert pyramid == dict(PYRAMID, num_outs=3, scale_factors=(2, 1, 0.5))
    assert (fpn.in_channels, fpn.num_outs) == ([256, 256, 256], 5)


def test_segmenters_get_a_neck_and_their_heads_its_channels():
    swap = plan_swap(load(UPERNET), "iso_small")
    model = swap.config.model
    assert model.neck == dict(PYRAMID, num_outs=4)
    assert (model.decode_head.in_channels, model.decode_head.in_index) == ([256] * 4, [0, 1, 2, 3])
    assert (model.auxiliary_head.in_channels, model.auxiliary_head.in_index) == (256, 2)
    # A map of stride 16 is stretched over the picture, so what it covers must be the picture.
    assert model.data_preprocessor.test_cfg == dict(size_divisor=32)
    assert "test_cfg" not in model_of(MASK).data_preprocessor


def test_a_dilated_backbone_gives_levels_at_its_strides():
    model = model_of("mmseg::fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py")
    assert model.neck.scale_factors == (2, 2)
    assert (model.decode_head.in_index, model.auxiliary_head.in_index) == (1, 0)


def test_an_adapter_reads_the_pyramid():
    swap = plan_swap(load(MASK), "iso_small", mode="adapter")
    pyramid, adapter, fpn = swap.config.model.neck
    assert swap.tier == "adapter"
    assert (pyramid.type, adapter.type, fpn.type) == (
        "SimpleFeaturePyramid", "PyramidAdapter", "FPN",
    )  # fmt: skip
    assert adapter.in_channels == [256] * 4


def test_another_isotropic_backbone_keeps_the_pyramid():
    once = plan_swap(load(MASK), "iso_small").config
    twice = plan_swap(once, "iso_base").config.model
    assert twice.neck == dict(PYRAMID, in_channels=768, num_outs=5)
    same = plan_swap(once, "same").config.model
    assert same.backbone.arch == dict(depths=(18,), channels=(384,), grn=False, isotropic=True)


@pytest.mark.parametrize("name", [MASK, RETINANET, UPERNET], ids=["mask", "retina", "upernet"])
def test_and_back_to_a_backbone_of_stages(name):
    there = plan_swap(load(name), "iso_small").config
    back, direct = plan_swap(there, "atto").config.model, model_of(name, "atto")
    assert back.backbone.out_indices == direct.backbone.out_indices
    if "neck" in direct:
        assert {key: direct.neck[key] for key in back.neck} == back.neck
    else:
        assert back.neck is None
        for key in ("decode_head", "auxiliary_head"):
            assert back[key] == direct[key]


def test_frozen_stages_of_four_freeze_the_stem_alone():
    swap = plan_swap(load(MASK), "iso_small", init_cfg=WEIGHTS)
    assert swap.config.model.backbone.frozen_stages == 0
    assert any("frozen_stages=1 becomes 0" in warning for warning in swap.warnings)


def test_layer_scale_of_stages_is_not_carried_over():
    cfg = load(MASK)
    cfg.model.backbone = dict(type="ConvNeXt", arch="atto", layer_scale_init_value=0.5)
    cfg.model.neck.in_channels = [40, 80, 160, 320]
    assert "layer_scale_init_value" not in plan_swap(cfg, "iso_small").config.model.backbone
    kept = plan_swap(cfg, "femto").config.model.backbone
    assert kept.layer_scale_init_value == 0.5


@pytest.mark.parametrize("name", [MASK, UPERNET])
def test_recipe_decays_by_block(name):
    cfg = plan_swap(load(name), "iso_small", recipe="convnext").config
    assert cfg.optim_wrapper.paramwise_cfg == dict(decay_rate=0.9, decay_type="layer_wise")


@pytest.mark.parametrize(
    "name", [MASK, UPERNET, "mmdet::rtmdet/rtmdet_s_8xb32-300e_coco.py"], ids=lambda n: n[7:13]
)
def test_swapped_configs_train_and_predict(name):
    trial = run_trial(plan_swap(load(name), SMALL).config)
    assert trial.no_gradient == ()
    assert trial.predicted
