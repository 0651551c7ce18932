"""Networks between ResNet and ConvNeXt under the configs of the zoos."""

from __future__ import annotations

import pytest

from convnext_dense.config.options import RunOptions
from convnext_dense.config.plan import SWAP, plan_run
from convnext_dense.swap import plan_swap
from convnext_dense.swap.trial import run_trial

from ..configs import load

pytestmark = pytest.mark.slow

FASTER = "mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"
DEEPLAB = "mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb2-40k_cityscapes-512x1024.py"
CONVNEXT = "seg/upernet_convnext_t_ade20k.py"
WEIGHTS = dict(init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet50"))


def swapped(name, arch, **options):
    return plan_swap(load(name), arch, **options)


def test_a_detector():
    swap = swapped(FASTER, "roadmap:inverted_bottleneck")
    assert swap.tier == "native"
    backbone = swap.config.model.backbone
    assert backbone == dict(
        type="ResNetToConvNeXt",
        step="inverted_bottleneck",
        out_indices=(0, 1, 2, 3),
        ceil_mode=True,
    )
    assert swap.config.model.neck.in_channels == [96, 192, 384, 768]
    assert any("norm_eval is removed" in message for message in swap.warnings)


def test_weights_keep_how_batch_norms_are_treated():
    backbone = swapped(FASTER, "roadmap:resnet", **WEIGHTS).config.model.backbone
    assert backbone.norm_eval is True
    assert backbone.frozen_stages == 1
    assert "norm_eval" not in swapped(FASTER, "roadmap:layer_norm", **WEIGHTS).config.model.backbone


def test_a_dilated_segmenter_with_sync_bn():
    swap = swapped(DEEPLAB, "roadmap:gelu:base")
    backbone = swap.config.model.backbone
    assert (backbone.regime, backbone.output_stride) == ("base", 8)
    assert backbone.norm_cfg == dict(type="SyncBN")
    assert swap.config.model.decode_head.in_channels == 1024


def test_the_last_step_is_the_convnext():
    assert (
        swapped(FASTER, "roadmap:separate_downsampling:base").config.model.backbone.arch == "base"
    )


def test_from_convnext_back_to_a_step_with_the_published_recipe():
    swap = swapped(CONVNEXT, "roadmap:kernel_7", recipe="convnext")
    assert swap.config.model.backbone.step == "kernel_7"
    assert "layer_scale_init_value" not in swap.config.model.backbone
    assert swap.config.optim_wrapper.constructor == "ConvNeXtOptimWrapperConstructor"


@pytest.mark.parametrize("step", ["resnet", "fewer_norms"])
def test_swapped_models_train_and_predict(step):
    trial = run_trial(swapped(DEEPLAB, f"roadmap:{step}", recipe="convnext").config)
    assert not trial.no_gradient


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(backbone="roadmap:kernel7"), "no step 'kernel7'.*choose one of kernel_7"),
        (dict(backbone="roadmap:"), "no step ''"),
        (dict(backbone="roadmap:gelu:large"), "regime is tiny .*got 'large'"),
        (
            dict(backbone="roadmap:resnet", weights="imagenet1k"),
            "`weights='imagenet1k'` names weights of a ConvNeXt, which roadmap:resnet is not",
        ),
        (
            dict(backbone="roadmap:gelu", backbone_options=dict(output_stride=8)),
            "output_stride: the swap sets this",
        ),
        (
            dict(backbone="roadmap:gelu", backbone_options=dict(kernel_size=9)),
            "one of in_channels, .*norm_eval.*got 'kernel_size'",
        ),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        plan_run(RunOptions(FASTER, **options), SWAP)
