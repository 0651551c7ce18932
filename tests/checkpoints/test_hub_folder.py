"""Folders as timm, transformers and open_clip write them for the hub, in place of a hub id."""

from __future__ import annotations

import json

import pytest
import torch

from convnext_dense import ConvNeXt, load_weights
from convnext_dense.checkpoints.hub_folder import told_normalisation
from convnext_dense.checkpoints.origin import CLIP, IMAGENET, normalisation_for
from convnext_dense.checkpoints.verify import verify

DINOV3 = "convnext_tiny.dinov3_lvd1689m"


def write_settings(folder, file, **settings):
    folder.mkdir(exist_ok=True)
    (folder / file).write_text(json.dumps(settings))


@pytest.mark.slow
@pytest.mark.parametrize("safe", [True, False], ids=["safetensors", "bin"])
def test_dinov3_as_timm_saves_it(safe, timm, randomise, assert_parity, tmp_path):
    from timm.models import save_for_hf

    model = randomise(timm.create_model(DINOV3, pretrained=False, features_only=False)).eval()
    save_for_hf(model, tmp_path / "mine", safe_serialization=safe)
    assert (tmp_path / "mine" / ("model.safetensors" if safe else "pytorch_model.bin")).is_file()
    net = ConvNeXt("tiny", norm_out=False)
    report = load_weights(net, tmp_path / "mine")
    assert (report.layout, report.licence) == ("timm", "DINOv3 License")
    assert (report.mean, report.std) == IMAGENET
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        want = model.forward_intermediates(image, intermediates_only=True)
        assert_parity(net, want, image)
        # The norm that DINOv3's linear heads are trained on.
        whole = ConvNeXt("tiny", out_indices=(3,))
        load_weights(whole, tmp_path / "mine", final_norm="use")
        (normed,) = whole.eval()(image)
        torch.testing.assert_close(normed, model.head.norm(want[-1]), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("shards", ["16KB", "1GB"])
def test_dinov3_as_transformers_saves_it(shards, transformers, randomise, tmp_path):
    config = transformers.DINOv3ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 2, 2, 1])
    model = randomise(transformers.DINOv3ConvNextModel(config))
    model.save_pretrained(tmp_path, max_shard_size=shards)
    assert (tmp_path / "model.safetensors.index.json").is_file() == (shards == "16KB")
    net = ConvNeXt(dict(depths=(1, 2, 2, 1), channels=(8, 16, 24, 32)))
    assert load_weights(net, tmp_path).layout == "transformers DINOv3"
    assert max(check.error for check in verify(tmp_path)) <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("head", ["convnext_base.clip_laion2b", "convnext_large_mlp.clip_laion2b"])
def test_clips_image_towers_of_timm(head, timm, randomise, assert_parity, tmp_path):
    name, _, tag = head.partition(".")
    small = dict(depths=(1, 1, 2, 1), dims=(8, 16, 24, 32), num_classes=12)
    model = randomise(timm.create_model(name, pretrained=False, **small)).eval()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    cfg = dict(tag=tag, mean=[0.48145466, 0.4578275, 0.40821073], std=[0.26862954, 0.26130258, 0.3])
    write_settings(tmp_path, "config.json", architecture=name, pretrained_cfg=cfg)
    net = ConvNeXt(dict(depths=(1, 1, 2, 1), channels=(8, 16, 24, 32)), norm_out=False)
    report = load_weights(net, tmp_path)
    assert set(report.dropped.values()) == {"classifier"}
    assert report.mean == CLIP[0] and report.licence == "Apache-2.0 (timm)"
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert_parity(net, model.forward_intermediates(image, intermediates_only=True), image)


MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


@pytest.mark.parametrize(
    ("file", "settings"),
    [
        ("config.json", dict(pretrained_cfg=dict(mean=MEAN, std=STD))),
        ("preprocessor_config.json", dict(image_mean=MEAN, image_std=STD)),
        ("open_clip_config.json", dict(preprocess_cfg=dict(mean=MEAN, std=STD))),
    ],
)
def test_what_a_folder_states_decides(file, settings, tmp_path):
    write_settings(tmp_path, file, **settings)
    (tmp_path / "model.safetensors").touch()
    assert normalisation_for(str(tmp_path)) == CLIP
    assert normalisation_for(str(tmp_path / "model.safetensors")) == CLIP
    assert normalisation_for(str(tmp_path / "other.pth")) == IMAGENET


def test_values_that_no_other_weights_have(tmp_path):
    write_settings(tmp_path, "config.json", pretrained_cfg=dict(mean=[0.5] * 3, std=[0.5] * 3))
    assert told_normalisation(tmp_path) == ((127.5,) * 3, (127.5,) * 3)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[" * 10**5,
        "[]",
        '{"pretrained_cfg": 3, "architecture": "../x", "tag": "y"}',
        '{"pretrained_cfg": {"mean": "abc", "std": [1, 1, 1]}}',
        '{"pretrained_cfg": {"mean": [1, 1, NaN], "std": [1, 1, 1]}}',
        '{"pretrained_cfg": {"mean": [1, 1, 1], "std": [1, 1, 0]}}',
        '{"pretrained_cfg": {"mean": [1, 1, 1], "std": [1, 1]}}',
        '{"pretrained_cfg": {"mean": [], "std": []}}',
        '{"pretrained_cfg": {"mean": [true, 1, 1], "std": [1, 1, 1]}}',
        '{"architecture": {}, "pretrained_cfg": {"tag": [1]}}',
    ],
)
def test_damaged_settings_say_nothing(content, tmp_path):
    (tmp_path / "config.json").write_text(content)
    assert normalisation_for(str(tmp_path)) == IMAGENET
