"""The weights that a training starts from: their file, their licence, the images they expect."""

from __future__ import annotations

import json

import pytest
import torch

from convnext_dense import ConvNeXt
from convnext_dense.config.options import RunOptions
from convnext_dense.config.state import Plan
from convnext_dense.config.steps import weights as steps

from ...configs import load

CLIP_MEAN = [122.7709, 116.7460, 104.0937]
FORBIDDEN = "which forbids commercial use"


@pytest.fixture(params=["det/mask_rcnn_convnext_t_coco", "seg/upernet_convnext_t_ade20k"])
def config(request):
    return load(f"{request.param}.py")


def planned(config, arch="tiny", **options):
    config.model.backbone.arch = arch
    return steps.set_weights(Plan(RunOptions(config, **options), config))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arch", "source", "licence"),
    [
        ("dinov3", "small", "timm/convnext_small.dinov3_lvd1689m", "DINOv3 License: https://ai."),
        ("eupe", "base", "timm/convnext_base.eupe_lvd1689m", FORBIDDEN),
        ("imagenet22k_ft_1k_384", "v2_tiny", "convnextv2_tiny_22k_384_ema.pt", FORBIDDEN),
        ("imagenet22k_ft_1k", "xlarge", "convnext_xlarge_22k_1k_224_ema.pth", "MIT"),
    ],
)
def test_a_name_is_a_file_and_its_licence_is_said(name, arch, source, licence, config):
    plan = planned(config, arch, weights=name)
    assert plan.config.model.backbone.init_cfg.checkpoint.endswith(source)
    (note,) = plan.notes
    assert f"{source} are under " in note and licence in note
    assert list(plan.config.model.data_preprocessor.mean) == [123.675, 116.28, 103.53]


@pytest.mark.parametrize("arch", ["base", "large"])
def test_clips_images(arch, config):
    plan = planned(config, arch, weights="clip_laion2b")
    assert plan.config.model.data_preprocessor.mean == CLIP_MEAN
    assert "data_preprocessor.mean: [123.675" in plan.notes[0]


def test_the_licence_of_the_configs_own_weights_is_said(config):
    config.model.backbone.init_cfg = dict(type="Pretrained", checkpoint="a/convnextv2_tiny.pt")
    assert planned(config).notes[0].endswith("ConvNeXt-V2/blob/main/LICENSE")
    config.model.backbone.init_cfg = dict(type="Pretrained", checkpoint="a/mine.pth")
    assert planned(config).notes == ()


@pytest.mark.parametrize("weights", ["timm/convnext_tiny.eupe_lvd1689m", "hf-hub:me/eupe_tiny"])
def test_the_licence_is_said_before_the_download(weights, config):
    plan = Plan(RunOptions(config, weights=weights), config)
    (note,) = steps.show_licence(plan).notes
    assert FORBIDDEN in note
    assert planned(config, weights=weights).notes == ()  # once
    resumed = Plan(RunOptions(config, weights=weights, resume="auto"), config)
    assert steps.show_licence(resumed).notes == ()


def test_a_folder_with_the_name_of_weights_is_not_read_for_them(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dinov3").mkdir()
    settings = dict(pretrained_cfg=dict(mean=[0.5] * 3, std=[0.5] * 3))
    (tmp_path / "dinov3" / "config.json").write_text(json.dumps(settings))
    assert planned(config, weights="dinov3").config.model.data_preprocessor.mean[0] == 123.675


@pytest.mark.slow
def test_a_folder_decides_the_images(config, tmp_path):
    settings = dict(pretrained_cfg=dict(mean=[0.5] * 3, std=[0.25] * 3))
    (tmp_path / "config.json").write_text(json.dumps(settings))
    torch.save(ConvNeXt("atto").state_dict(), tmp_path / "pytorch_model.bin")
    found = planned(config, "atto", weights=str(tmp_path)).config.model.data_preprocessor
    assert (list(found.mean), list(found.std)) == ([127.5] * 3, [63.75] * 3)


def test_no_such_file_and_no_such_name(config):
    with pytest.raises(FileNotFoundError, match=r"'dinov2'.*no such file.*are dinov3, imagenet1k"):
        planned(config, weights="dinov2")
    with pytest.raises(ValueError, match=r"'dinov3' for arch 'v2_tiny': it has imagenet1k, "):
        planned(config, "v2_tiny", weights="dinov3")
