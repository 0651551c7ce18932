"""What upstream's backbones say of themselves."""

from __future__ import annotations

import pytest
import torch

import convnext_dense  # noqa: F401  first, since it makes mmdet importable
from convnext_dense.swap.probe import Level, probe_backbone, trace_neck

BN = dict(type="BN")
RESNET = dict(type="ResNet", depth=18, norm_cfg=BN)
DILATED = dict(
    type="ResNetV1c", depth=18, norm_cfg=BN, dilations=(1, 1, 2, 4), strides=(1, 2, 1, 1)
)
TRANSFORMER = dict(
    type="VisionTransformer", img_size=64, embed_dims=16, num_layers=4, num_heads=2,
    out_indices=(0, 1, 2, 3),
)  # fmt: skip
LEVELS = (Level(8, 4), Level(16, 8), Level(24, 16), Level(32, 32))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "scope", "strides", "dilated", "ceil"),
    [
        (RESNET, "mmdet", (4, 8, 16, 32), False, True),
        ({**RESNET, "out_indices": (1, 3)}, "mmdet", (8, 32), False, True),
        (DILATED, "mmseg", (4, 8, 8, 8), True, True),
        (dict(type="MixVisionTransformer", embed_dims=8), "mmseg", (4, 8, 16, 32), False, True),
        (dict(type="SwinTransformer", embed_dims=6), "mmdet", (4, 8, 16, 32), False, True),
        (TRANSFORMER, "mmseg", (16, 16, 16, 16), False, True),
        (dict(type="ConvNeXt", arch="atto"), "mmdet", (4, 8, 16, 32), False, False),
        (dict(type="ConvNeXt", arch="atto", ceil_mode=True), "mmdet", (4, 8, 16, 32), False, True),
        (
            dict(type="ConvNeXt", arch="atto", output_stride=8), "mmseg", (4, 8, 8, 8), True, False,
        ),
    ],
)  # fmt: skip
def test_strides_dilation_and_rounding(backbone, scope, strides, dilated, ceil):
    found = probe_backbone(backbone, scope)
    assert (found.strides, found.dilated, found.ceil) == (strides, dilated, ceil)


@pytest.mark.slow
def test_channels_and_parameters():
    found = probe_backbone(RESNET, "mmdet")
    assert found.channels == (64, 128, 256, 512)
    assert "layer1.0.conv1.weight" in found.parameters


@pytest.mark.slow
def test_a_network_that_gives_one_map_in_evaluation():
    pidnet = dict(type="PIDNet", channels=4, ppm_channels=8, num_stem_blocks=1, num_branch_blocks=2)
    found = probe_backbone({**pidnet, "norm_cfg": BN}, "mmseg")
    assert found.strides == (8, 8, 8)
    assert found.eval_output == 1


@pytest.mark.slow
def test_class_tokens_are_seen():
    assert probe_backbone({**TRANSFORMER, "output_cls_token": True}, "mmseg").class_tokens
    assert not probe_backbone(TRANSFORMER, "mmseg").class_tokens


@pytest.mark.slow
def test_what_needs_files_or_operators_is_left_out():
    dcn = dict(type="DCNv2", deform_groups=1, fallback_on_stride=False)
    backbone = dict(
        type="ResNet",
        depth=50,
        norm_cfg=BN,
        dcn=dcn,
        stage_with_dcn=(False, True, True, True),
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet50"),
    )
    assert probe_backbone(backbone, "mmdet").channels == (256, 512, 1024, 2048)
    assert "init_cfg" in backbone


@pytest.mark.slow
def test_probing_leaves_the_random_state_alone():
    state = torch.random.get_rng_state()
    probe_backbone(TRANSFORMER, "mmseg")
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_neck_tells_what_it_reads():
    fpn = dict(type="FPN", in_channels=[8, 16, 24, 32], out_channels=8, num_outs=5, start_level=1)
    trace = trace_neck(fpn, "mmdet", LEVELS)
    assert trace.reads == (1, 2, 3)
    assert trace.outputs == tuple(Level(8, stride) for stride in (8, 16, 32, 64, 128))


def test_a_neck_that_does_not_fit_is_an_error():
    with pytest.raises(Exception, match="channels"):
        trace_neck(dict(type="ChannelMapper", in_channels=[9], out_channels=8), "mmdet", LEVELS[:1])
