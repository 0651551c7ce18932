"""Configs that have a ConvNeXt already: mmpretrain's, Meta's, ours."""

from __future__ import annotations

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS

from convnext_dense.backbone.archs import ARCHS, Arch
from convnext_dense.swap import plan_swap
from convnext_dense.swap.other_convnexts import arch_of, carried_arguments, known_pyramid

from ..configs import load

MMPRETRAIN = dict(
    type="mmpretrain.ConvNeXt",
    arch=dict(depths=[1, 1, 2, 1], channels=[8, 16, 24, 40]),
    out_indices=[0, 1, 2, 3],
    drop_path_rate=0.4,
    layer_scale_init_value=0.0,
    use_grn=True,
    gap_before_final_norm=False,
)
META = dict(
    type="ConvNeXt",
    in_chans=4,
    depths=[1, 1, 2, 1],
    dims=[8, 16, 24, 40],
    drop_path_rate=0.2,
    layer_scale_init_value=1e-6,
    out_indices=[0, 1, 2, 3],
)


def upernet(backbone: dict) -> Config:
    head = dict(
        type="UPerHead",
        in_channels=[8, 16, 24, 40],
        in_index=[0, 1, 2, 3],
        channels=8,
        num_classes=2,
    )
    model = dict(type="EncoderDecoder", backbone=backbone, decode_head=head)
    return Config(dict(default_scope="mmseg", model=model))


@pytest.mark.slow
@pytest.mark.parametrize("backbone", [MMPRETRAIN, META])
def test_same_keeps_depths_and_widths(backbone):
    built = plan_swap(upernet(dict(backbone)), "same").config.model.backbone
    net = MODELS.build(built)
    assert net.arch == arch_of(backbone)
    assert net.out_indices == (0, 1, 2, 3)
    assert not set(built) & {"gap_before_final_norm", "use_grn", "depths", "dims", "in_chans"}


def test_arguments_are_translated():
    assert arch_of(MMPRETRAIN) == Arch((1, 1, 2, 1), (8, 16, 24, 40), grn=True)
    assert arch_of(META) == Arch((1, 1, 2, 1), (8, 16, 24, 40))
    assert arch_of(dict(type="mmpretrain.ConvNeXt", arch="huge", use_grn=True)) == ARCHS["v2_huge"]
    assert arch_of(dict(type="ConvNeXt", arch="v2_nano")) == ARCHS["v2_nano"]
    assert carried_arguments(META) == dict(
        drop_path_rate=0.2, layer_scale_init_value=1e-6, in_channels=4
    )


def test_their_maps_are_known_without_their_package():
    assert known_pyramid(MMPRETRAIN).strides == (4, 8, 16, 32)
    assert known_pyramid({**MMPRETRAIN, "out_indices": -1}).channels == (40,)
    assert known_pyramid(META).channels == (8, 16, 24, 40)
    assert known_pyramid(dict(type="ConvNeXt", arch="tiny")) is None


@pytest.mark.slow
def test_weights_stay_with_their_architecture_alone():
    weights = dict(type="Pretrained", checkpoint="convnext.pth", prefix="backbone.")
    cfg = upernet({**MMPRETRAIN, "init_cfg": weights})
    assert plan_swap(cfg, "same").config.model.backbone.init_cfg == weights
    assert "init_cfg" not in plan_swap(cfg, "atto").config.model.backbone


@pytest.mark.slow
def test_no_ceil_mode_so_that_outputs_are_equal():
    assert "ceil_mode" not in plan_swap(upernet(dict(META)), "same").config.model.backbone


@pytest.mark.slow
def test_the_package_of_the_old_backbone_is_no_longer_imported():
    name = "mmseg::convnext/convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512.py"
    cfg = load(name)
    assert plan_swap(cfg, "same").config.custom_imports == dict(
        imports=["convnext_dense"], allow_failed_imports=False
    )
