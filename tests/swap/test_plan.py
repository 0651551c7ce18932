"""Configs of the zoos under a swap: what is read, in which channels, and what is refused."""

from __future__ import annotations

import copy

import pytest
from mmengine.config import Config

from convnext_dense.backbone import ARCHS
from convnext_dense.config_tree import walk
from convnext_dense.swap import SwapRefusedError, plan_swap, swap_backbone
from convnext_dense.swap.trial import run_trial

from ..configs import load

ATTO = (40, 80, 160, 320)


RETINANET = "mmdet::retinanet/retinanet_r50_fpn_1x_coco.py"
FASTER = "mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"
DEEPLAB = "mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb2-40k_cityscapes-512x1024.py"

# name, tier, stages, output stride, and what the readers then say
CASES = [
    (FASTER, "native", (0, 1, 2, 3), 32, {"neck.in_channels": list(ATTO)}),
    (
        RETINANET,
        "native", (1, 2, 3), 32, {"neck.in_channels": [80, 160, 320], "neck.start_level": 0},
    ),
    (
        "mmdet::yolo/yolov3_d53_8xb8-320-273e_coco.py",
        "native", (1, 2, 3), 32, {"neck.in_channels": [320, 160, 80]},
    ),
    (
        "mmdet::ssd/ssd300_coco.py",
        "native", (1, 3), 16,
        {
            "neck.in_channels": (80, 320),
            "neck.out_channels": (80, 320, 512, 256, 256, 256),
            "bbox_head.in_channels": (80, 320, 512, 256, 256, 256),
        },
    ),
    ("mmdet::yolof/yolof_r50-c5_8xb8-1x_coco.py", "native", (3,), 32, {"neck.in_channels": 320}),
    (
        "mmdet::faster_rcnn/faster-rcnn_r50-caffe-dc5_1x_coco.py",
        "native", (3,), 16,
        {
            "rpn_head.in_channels": 320,
            "roi_head.bbox_roi_extractor.out_channels": 320,
            "roi_head.bbox_head.in_channels": 320,
        },
    ),
    (
        "mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py",
        "native", (0, 1, 2, 3), 32, {"panoptic_head.in_channels": list(ATTO)},
    ),
    (
        "mmdet::hrnet/fcos_hrnetv2p-w18-gn-head_4xb4-1x_coco.py",
        "native", (0, 1, 2, 3), 32, {"neck.in_channels": list(ATTO)},
    ),
    (
        "mmdet::bytetrack/bytetrack_yolox_x_8xb4-80e_crowdhuman-mot17halftrain_test-mot17halfval.py",
        "native", (1, 2, 3), 32, {"detector.neck.in_channels": [80, 160, 320]},
    ),
    (
        "mmdet::soft_teacher/soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco.py",
        "native", (0, 1, 2, 3), 32, {"detector.neck.in_channels": list(ATTO)},
    ),
    ("mmdet::mask_rcnn/mask-rcnn_r50-caffe-c4_1x_coco.py", "adapter", (2,), 32, {}),
    ("mmdet::rtmdet/rtmdet_x_p6_4xb8-300e_coco.py", "adapter", (1, 2, 3), 32, {}),
    (
        DEEPLAB,
        "native", (0, 2, 3), 8,
        {
            "decode_head.in_channels": 320,
            "decode_head.in_index": 2,
            "decode_head.c1_in_channels": 40,
            "auxiliary_head.in_channels": 160,
            "auxiliary_head.in_index": 1,
        },
    ),
    (
        "mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py",
        "native", (0, 1, 2, 3), 32, {"decode_head.in_channels": list(ATTO)},
    ),
    (
        "mmseg::segnext/segnext_mscan-t_1xb16-adamw-160k_ade20k-512x512.py",
        "native", (1, 2, 3), 32,
        {"decode_head.in_channels": [80, 160, 320], "decode_head.in_index": [0, 1, 2]},
    ),
    (
        "mmseg::hrnet/fcn_hr18_4xb2-40k_cityscapes-512x1024.py",
        "native", (0, 1, 2, 3), 32, {"decode_head.in_channels": list(ATTO)},
    ),
    (
        "mmseg::fastfcn/fastfcn_r50-d32_jpu_aspp_4xb2-80k_cityscapes-512x1024.py",
        "native", (1, 2, 3), 32,
        {
            "neck.in_channels": (80, 160, 320),
            "decode_head.in_channels": 2048,
            "auxiliary_head.in_channels": 160,
        },
    ),
    (
        "mmseg::knet/knet-s3_r50-d8_fcn_8xb2-adamw-80k_ade20k-512x512.py",
        "native", (2, 3), 8,
        {
            "decode_head.kernel_generate_head.in_channels": 320,
            "decode_head.kernel_generate_head.in_index": 1,
            "auxiliary_head.in_channels": 160,
        },
    ),
    (
        "mmseg::encnet/encnet_r50-d8_4xb4-80k_ade20k-512x512.py",
        "native", (2, 3), 8,
        # It lists three maps, and reads the last.
        {"decode_head.in_channels": [320], "decode_head.in_index": (1,)},
    ),
    (
        "mmseg::mae/mae-base_upernet_8xb2-amp-160k_ade20k-512x512.py",
        "native", (0, 1, 2, 3), 32, {"neck": None, "decode_head.in_channels": list(ATTO)},
    ),
    (
        "mmseg::unet/unet-s5-d16_fcn_4xb4-160k_cityscapes-512x1024.py",
        "adapter", (0, 1, 2, 3), 32,
        {
            "neck.out_channels": [128, 64],
            "neck.out_strides": [2, 1],
            "decode_head.in_index": 1,
            "auxiliary_head.in_index": 0,
        },
    ),
    (
        "mmseg::setr/setr_vit-l_naive_8xb1-80k_cityscapes-768x768.py",
        "adapter", (0, 1, 2, 3), 32, {"neck.sources": [0, 1, 2, 3], "decode_head.in_index": 3},
    ),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "tier", "stages", "output_stride", "said"), CASES, ids=[case[0] for case in CASES]
)
def test_readers_are_rewired(name, tier, stages, output_stride, said):
    swap = plan_swap(load(name), "atto")
    model = swap.config.model
    backbone = (model.get("detector") or model).backbone
    assert swap.tier == tier
    assert backbone.type == "ConvNeXt"
    assert tuple(backbone.out_indices) == stages
    assert backbone.get("output_stride", 32) == output_stride
    flat = Config(dict(model=model))
    for key, value in said.items():
        found = flat
        for part in f"model.{key}".split("."):
            found = found[part]
        assert found == value and type(found) is type(value), key


@pytest.mark.slow
def test_the_last_maps_of_a_semantic_head_stay_the_last():
    cfg = load(DEEPLAB)
    cfg.model.decode_head.in_index = -1
    assert plan_swap(cfg, "atto").config.model.decode_head.in_index == -1


# One of each kind that trains in a second: plain, dilated, adapted, network as backbone.
@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        RETINANET,
        DEEPLAB,
        "mmseg::unet/unet-s5-d16_fcn_4xb4-160k_cityscapes-512x1024.py",
        "mmseg::ddrnet/ddrnet_23-slim_in1k-pre_2xb6-120k_cityscapes-1024x1024.py",
        "mmseg::dpt/dpt_vit-b16_8xb2-160k_ade20k-512x512.py",
        "mmdet::yolox/yolox_nano_8xb8-300e_coco.py",
        "mmdet::fpg/retinanet_r50_fpg-chn128_crop640_50e_coco.py",
        "mmdet::nas_fcos/nas-fcos_r50-caffe_fpn_nashead-gn-head_4xb4-1x_coco.py",
    ],
)
def test_swapped_configs_train_and_predict(name):
    trial = run_trial(plan_swap(load(name), "atto").config)
    assert trial.no_gradient == ()
    assert trial.predicted


@pytest.mark.slow
@pytest.mark.parametrize(
    "arch",
    [
        *(name for name, arch in ARCHS.items() if not arch.isotropic),
        dict(depths=[1, 1, 2, 1], channels=[8, 16, 24, 40]),
    ],
)
def test_every_arch(arch):
    swapped = swap_quietly(load(RETINANET), arch)
    channels = arch["channels"] if isinstance(arch, dict) else ARCHS[arch].channels
    assert swapped.model.neck.in_channels == list(channels[1:])


@pytest.mark.slow
def test_five_stages_reach_stride_64_without_an_adapter():
    arch = dict(depths=[1, 1, 1, 1, 1], channels=[8, 16, 24, 32, 40])
    swap = plan_swap(load("mmdet::rtmdet/rtmdet_x_p6_4xb8-300e_coco.py"), arch)
    backbone = swap.config.model.backbone
    assert swap.tier == "native"
    assert (backbone.out_indices, backbone.output_stride) == ((1, 2, 3, 4), 64)
    assert swap.config.model.neck.in_channels == [16, 24, 32, 40]


def swap_quietly(cfg: Config, arch: object, **kwargs: object) -> Config:
    return plan_swap(cfg, arch, **kwargs).config


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [RETINANET, DEEPLAB, "mmseg::unet/unet-s5-d16_fcn_4xb4-160k_cityscapes-512x1024.py"]
)
def test_a_swapped_config_can_be_swapped(name):
    once = swap_quietly(load(name), "v2_nano")
    twice = swap_quietly(once, "atto")
    assert twice.model.to_dict() == swap_quietly(load(name), "atto").model.to_dict()


@pytest.mark.slow
def test_the_config_is_not_changed():
    cfg = load(DEEPLAB)
    before = copy.deepcopy(cfg._cfg_dict)
    with pytest.warns(UserWarning):
        swap_backbone(cfg, "atto", recipe="convnext")
    assert cfg._cfg_dict == before


@pytest.mark.slow
def test_heads_that_share_a_list_are_changed_once():
    cfg = load(DEEPLAB)
    shared = [256, 512]
    for key in ("decode_head", "auxiliary_head"):
        cfg.model[key] = dict(
            type="FCNHead",
            in_channels=shared,
            in_index=[0, 1],
            input_transform="resize_concat",
            channels=8,
            num_classes=2,
            norm_cfg=dict(type="BN"),
        )
    model = swap_quietly(cfg, "atto").model
    assert model.decode_head.in_channels == model.auxiliary_head.in_channels == [40, 80]
    assert shared == [256, 512]


@pytest.mark.slow
def test_a_sum_of_channels_as_one_number():
    cfg = load("mmseg::hrnet/fcn_hr18_4xb2-40k_cityscapes-512x1024.py")
    cfg.model.decode_head.in_channels = sum(cfg.model.decode_head.in_channels)
    assert swap_quietly(cfg, "atto").model.decode_head.in_channels == sum(ATTO)


@pytest.mark.slow
def test_channels_that_agree_by_chance_are_left_alone():
    model = swap_quietly(
        load("mmseg::knet/knet-s3_r50-d8_fcn_8xb2-adamw-80k_ade20k-512x512.py"), "atto"
    ).model
    assert {head.in_channels for head in model.decode_head.kernel_update_head} == {512}


@pytest.mark.slow
def test_ceil_mode_only_where_the_old_backbone_rounded_up():
    assert swap_quietly(load(RETINANET), "atto").model.backbone.ceil_mode
    convnext = "mmseg::convnext/convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512.py"
    assert "ceil_mode" not in swap_quietly(load(convnext), "tiny").model.backbone


@pytest.mark.slow
def test_frozen_stages_are_kept_with_weights_and_dropped_without():
    weights = dict(type="Pretrained", checkpoint="weights.pth")
    kept = plan_swap(load(RETINANET), "atto", init_cfg=weights)
    assert kept.config.model.backbone.frozen_stages == 1
    dropped = plan_swap(load(RETINANET), "atto")
    assert "frozen_stages" not in dropped.config.model.backbone
    assert any("frozen_stages=1 is removed" in message for message in dropped.warnings)


@pytest.mark.slow
def test_weights_of_the_whole_old_model_go_with_a_note():
    cfg = load(RETINANET)
    cfg.load_from = "retinanet_r50.pth"
    cfg.model.init_cfg = dict(type="Pretrained", checkpoint="whole.pth")
    swap = plan_swap(cfg, "atto")
    assert swap.config.load_from is None and swap.config.model.init_cfg is None
    assert any("load_from is removed" in message for message in swap.warnings)
    assert any("model.init_cfg is removed" in message for message in swap.warnings)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "left"),
    [
        (
            "mmdet::deepsort/deepsort_faster-rcnn_r50_fpn_8xb2-4e_mot17halftrain_test-mot17halfval.py",
            "model.reid.backbone",
        ),
        ("mmdet::lad/lad_r50-paa-r101_fpn_2xb8_coco_1x.py", "model.teacher_backbone"),
    ],
)
def test_teachers_and_others_keep_their_backbones(name, left):
    cfg = load(name)
    swap = plan_swap(cfg, "atto")
    assert any(message.startswith(f"{left} (") for message in swap.warnings)
    before, after = (dict(walk(c.model, "model"))[left] for c in (cfg, swap.config))
    assert before == after


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "lost"),
    [
        ("mmdet::dcn/faster-rcnn_r50-dconv-c3-c5_fpn_1x_coco.py", "deformable convolutions"),
        ("mmdet::gcnet/mask-rcnn_r50-gcb-r4-c3-c5_fpn_1x_coco.py", "the plugins"),
        ("mmdet::gn+ws/faster-rcnn_r50_fpn_gn-ws-all_1x_coco.py", "kind of convolution"),
        ("mmdet::tridentnet/tridentnet_r50-caffe_1x_coco.py", "branches of TridentNet"),
        ("mmdet::detectors/cascade-rcnn_r50-rfp_1x_coco.py", "recursive pyramid"),
    ],
)
def test_what_a_config_was_about_is_named_when_it_is_lost(name, lost):
    with pytest.warns(UserWarning, match=lost):
        swap_backbone(load(name), "atto")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("mmdet::retinanet/retinanet_tta.py", "has no model"),
        ("mmdet::misc/d2_retinanet_r50-caffe_fpn_ms-90k_coco.py", "detectron2"),
        ("mmseg::san/san-vit-b16_voc12aug-640x640.py", "CLIP"),
        ("mmseg::vpd/vpd_sd_4xb8-25k_nyu-480x480.py", "diffusion"),
    ],
)
def test_refusals_say_why(name, reason):
    with pytest.raises(SwapRefusedError, match=reason):
        swap_backbone(load(name), "atto")


@pytest.mark.slow
def test_native_mode_refuses_an_adapter():
    with pytest.raises(SwapRefusedError, match=r"needs an adapter: .*\(2, 1\)"):
        plan_swap(
            load("mmseg::unet/unet-s5-d16_fcn_4xb4-160k_cityscapes-512x1024.py"),
            "atto",
            mode="native",
        )


@pytest.mark.slow
def test_adapter_mode_leaves_the_heads_as_they_are():
    cfg = load(RETINANET)
    swap = plan_swap(cfg, "atto", mode="adapter")
    adapter, fpn = swap.config.model.neck
    assert swap.tier == "adapter"
    assert adapter.out_channels == fpn.in_channels == [512, 1024, 2048]
    assert run_trial(swap.config).no_gradient == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(arch="resnet"), "unknown arch 'resnet'"),
        (dict(recipe="best"), "recipe is one of keep, convnext, got 'best'"),
        (dict(mode="none"), "mode is one of auto, native, adapter"),
        (dict(out_indices=(0,)), "out_indices: the swap sets this"),
        (dict(drop_path=0.4), "backbone is one of in_channels, drop_path_rate, .*got 'drop_path'"),
        (dict(drop_path_rate=4), "drop_path_rate"),
        (dict(arch="same"), "'same' keeps the size of a ConvNeXt, but model.backbone is a ResNet"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        plan_swap(load(RETINANET), **arguments)


def test_a_backbone_that_cannot_be_built_is_taken_from_its_reader_with_a_note():
    cfg = load("mmseg::poolformer/fpn_poolformer_s12_8xb4-40k_ade20k-512x512.py")
    swap = plan_swap(cfg, "atto")
    assert swap.config.model.neck.in_channels == list(ATTO)
    assert any("assumed to be (4, 8, 16, 32)" in message for message in swap.warnings)
