"""A ConvNeXt under existing configs, by the command lines alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from convnext_dense import ConvNeXt

pytestmark = pytest.mark.slow

RETINANET = "mmdet::retinanet/retinanet_r18_fpn_1x_coco.py"
FCN = "mmseg::fcn/fcn_r50-d8_4xb4-80k_ade20k-512x512.py"
CONVNEXT = "mmseg::convnext/convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512.py"
UNET = "mmseg::unet/unet-s5-d16_fcn_4xb4-160k_cityscapes-512x1024.py"
SMALLER = {
    "det": """model.neck.out_channels=16 model.bbox_head.in_channels=16
        model.bbox_head.feat_channels=16 model.bbox_head.stacked_convs=1
        param_scheduler.0.end=2 train_cfg.max_epochs=1 model.test_cfg.score_thr=0""",
    "seg": """model.decode_head.channels=8 model.auxiliary_head.channels=8
        train_cfg.max_iters=4 train_cfg.val_interval=4 default_hooks.checkpoint.interval=4""",
}


@pytest.fixture
def swapping(cli, monkeypatch):
    """Let the tools start from configs of the zoos, with no more options than NO_WORKERS."""
    for kind, config in (
        ("det", RETINANET),
        ("seg", "mmseg::fcn/fcn_r50-d8_4xb4-80k_ade20k-512x512.py"),
    ):
        monkeypatch.setitem(cli.config, kind, config)
        monkeypatch.setitem(cli.options, kind, SMALLER[kind].split())
    return cli


@pytest.mark.parametrize(("kind", "last"), [("det", "epoch_1.pth"), ("seg", "iter_4.pth")])
def test_train_and_test_with_another_backbone(swapping, kind, last):
    said = swapping.train(
        kind, "--backbone", "atto", "--weights", "none", "--seed", 0, "--work-dir", "run"
    )
    assert "note: --backbone atto: native" in said
    config = Config.fromfile(next(Path("run").glob("*.py")))
    assert (config.model.backbone.type, config.model.backbone.arch) == ("ConvNeXt", "atto")
    said = swapping.test(kind, f"run/{last}", "--backbone", "atto", "--work-dir", "tested")
    assert {"det": "box AP", "seg": "mIoU"}[kind] in said


def test_weights_of_the_new_backbone_are_in(swapping):
    torch.save({"model": ConvNeXt("atto").state_dict()}, "atto.pth")
    said = swapping.train(
        "det", "--backbone", "atto", "--weights", "atto.pth", "--recipe", "convnext",
        "--work-dir", "run",
    )  # fmt: skip
    config = Config.fromfile(next(Path("run").glob("*.py")))
    assert config.model.backbone.init_cfg.checkpoint == "atto.pth"
    assert config.model.backbone.frozen_stages == 1
    assert config.optim_wrapper.optimizer.type == "AdamW"
    assert "scratch" not in said


def test_weights_of_another_arch_stop_the_run(swapping):
    torch.save({"model": ConvNeXt("femto").state_dict()}, "femto.pth")
    argv = swapping.argv("det", "--backbone", "atto", "--weights", "femto.pth")
    message = swapping.refused("train", argv)
    assert "'femto'" in message and "'atto'" in message


def test_the_tool_writes_a_config_that_trains(cli):
    status, out, err = cli.call(
        "swap_backbone", [RETINANET, "--arch", "atto", "-o", "mine/out.py", "--diff", "--check"]
    )
    assert status == 0, err
    assert "model.neck.in_channels: channels of ConvNeXt's stages" in out
    assert "  - [64, 128, 256, 512]\n  + [80, 160, 320]\n" in out
    assert "every parameter of the backbone has a gradient; prediction runs" in out
    assert "wrote mine/out.py (native)" in out
    assert Config.fromfile("mine/out.py").model.backbone.arch == "atto"


def test_options_of_the_backbone(cli):
    status, _, err = cli.call(
        "swap_backbone",
        [
            UNET, "--arch", "v2_atto", "-o", "out.py", "--weights", "fcmae",
            "--backbone-options", "drop_path_rate=0.1", "with_cp=True",
        ],
    )  # fmt: skip
    assert status == 0, err
    backbone = Config.fromfile("out.py").model.backbone
    assert (backbone.drop_path_rate, backbone.with_cp) == (0.1, True)
    assert backbone.init_cfg.checkpoint.endswith("convnextv2_atto_1k_224_fcmae.pt")


def test_published_weights_for_the_arch_that_the_config_has(cli):
    argv = ["--arch", "same", "--weights", "imagenet22k", "-o", "out.py"]
    status, _, err = cli.call("swap_backbone", [CONVNEXT, *argv])
    assert status == 0, err
    backbone = Config.fromfile("out.py").model.backbone
    assert backbone.init_cfg.checkpoint.endswith("/convnext_tiny_22k_224.pth")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            [RETINANET, "--arch", "same", "--diff", "--weights", "imagenet1k"],
            "arch 'same' keeps the size of a ConvNeXt, but model.backbone is a ResNet",
        ),
        (
            [CONVNEXT, "--arch", "same", "--diff", "--weights", "fcmae"],
            "no published weights 'fcmae' for arch 'tiny'",
        ),
        ([RETINANET, "--arch", "atto"], "nothing to do: give -o OUT.py, --diff or --check"),
        ([RETINANET, "--arch", "huge", "--diff"], "unknown arch 'huge'"),
        (["mmdet::retina.py", "--arch", "atto", "--diff"], "mmdet has no config 'retina.py'"),
        (["nope::x.py", "--arch", "atto", "--diff"], "needs nope, which is not installed"),
        (
            ["mmseg::vpd/vpd_sd_4xb8-25k_nyu-480x480.py", "--arch", "atto", "--diff"],
            "diffusion model",
        ),
        (
            [UNET, "--arch", "atto", "--diff", "--mode", "native"],
            "no stages have the strides",
        ),
        (
            [RETINANET, "--arch", "xlarge", "--diff", "--weights", "imagenet1k"],
            "'imagenet1k' for arch 'xlarge'",
        ),
    ],
)
def test_refusals_are_one_line(cli, argv, message):
    said = cli.refused("swap_backbone", argv)
    assert message in said


def test_a_file_that_exists_is_not_overwritten(cli):
    Path("out.py").write_text("mine = 1\n")
    said = cli.refused("swap_backbone", [RETINANET, "--arch", "atto", "-o", "out.py"])
    assert "out.py exists" in said
    assert Path("out.py").read_text() == "mine = 1\n"


def test_a_checkpoint_of_the_old_network_is_refused(swapping):
    torch.save({"state_dict": {"backbone.layer1.0.conv1.weight": torch.zeros(1)}}, "old.pth")
    argv = swapping.argv("det", "old.pth", "--backbone", "atto")
    assert "backbone" in swapping.refused("test", argv)
