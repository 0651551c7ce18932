"""tools/weights.py and the weights that the other tools are given."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convnext_dense import ConvNeXt
from convnext_dense.cli.main import parse_args
from convnext_dense.cli.options import run_options
from convnext_dense.config.plan import TEST, TRAIN, plan_run
from convnext_dense.zoo.weights import WEIGHTS

pytestmark = pytest.mark.slow

ARCH = dict(depths=(1, 1, 1, 1), channels=(8, 16, 32, 64))


@pytest.fixture
def classifier(randomise, tmp_path):
    """A classifier's file in Meta's layout."""
    state = randomise(ConvNeXt(ARCH, norm_out=False)).state_dict()
    state |= {"head.weight": torch.randn(5, 64), "head.bias": torch.randn(5)}
    torch.save(dict(model=state, model_ema=state), tmp_path / "convnext_tiny_1k_224.pth")
    return "convnext_tiny_1k_224.pth"


def say(cli, *argv):
    status, out, err = cli.call("weights", [str(arg) for arg in argv])
    assert status == 0, err
    return out


def test_inspect(cli, classifier):
    said = say(cli, "inspect", classifier)
    assert "layout       meta, under 'model'\nalso holds   model_ema" in said
    assert "kind         backbone with classifier" in said
    assert "licence      MIT" in said and "sha256" in said


def test_inspect_tells_a_whole_model(cli, trained):
    said = say(cli, "inspect", trained["det"] / "epoch_3.pth")
    assert "kind         whole model: neck (" in said and "roi_head (" in said
    assert "classes      5: circle, square" in said


def test_convert_and_verify(cli, classifier):
    pytest.importorskip("safetensors")
    assert "meta -> timm: " in say(cli, "convert", classifier, "out.safetensors", "--to", "timm")
    said = say(cli, "verify", "out.safetensors")
    assert "stage 3" in said and "equal within a relative error of 1e-05" in said
    argv = ["convert", classifier, "out.safetensors"]
    assert "--overwrite replaces it" in cli.refused("weights", argv)


def test_verify_fails_by_its_exit_status(cli, classifier, monkeypatch):
    from convnext_dense.cli import weights

    monkeypatch.setattr(weights, "TOLERANCE", -1.0)
    assert "the features of stage 0 have a relative error of" in cli.refused(
        "weights", ["verify", classifier]
    )


@pytest.mark.parametrize("command", ["inspect", "verify"])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04 and no more", "is truncated"),
        (b"<html>404</html>", "is a web page"),
        (b"hello", "is not a PyTorch checkpoint"),
    ],
)
def test_damaged_files(command, content, says, cli, tmp_path):
    (tmp_path / "a.pth").write_bytes(content)
    assert f"checkpoint a.pth {says}" in cli.refused("weights", [command, "a.pth"])


@pytest.mark.parametrize("argv", [["inspect"], ["verify"], ["convert", "out.pth"]])
def test_a_missing_file_is_told_without_the_flags_of_training(argv, cli):
    message = cli.refused("weights", [argv[0], "nowhere.pth", *argv[1:]])
    assert message == (
        "the weights nowhere.pth could not be loaded (checkpoint 'nowhere.pth' is not a file here)"
    )


class Touch:
    def __reduce__(self):
        return (open, ("ran", "w"))


def test_trust_is_the_users_word(cli, classifier, tmp_path):
    content = torch.load(classifier)
    torch.save(content | dict(args=Touch()), "evil.pth")
    assert "tools/weights.py --trust" in cli.refused("weights", ["inspect", "evil.pth"])
    assert not (tmp_path / "ran").exists()
    say(cli, "inspect", "evil.pth", "--trust")


class TestTrain:
    """``--weights`` before any data is read."""

    def start(self, cli, *flags, options="model.backbone.arch=tiny"):
        argv = [str(cli.config["seg"]), "--data-root", "no/data", "--work-dir", "w", *flags]
        return [*argv, "--cfg-options", options]

    def planned(self, cli, *flags, **options):
        """The config that the run would be built from."""
        args = parse_args("train", self.start(cli, *flags, **options))
        return plan_run(run_options(args), TRAIN).config

    @pytest.mark.parametrize(
        ("name", "arch", "file"),
        [
            ("imagenet1k", "small", "convnext_small_1k_224.pth"),
            ("imagenet22k", "xlarge", "convnext_xlarge_22k_224.pth"),
            ("fcmae", "v2_base", "convnextv2_base_1k_224_fcmae.pt"),
        ],
    )
    def test_published_weights_by_name(self, name, arch, file, cli):
        cfg = self.planned(cli, "--weights", name, options=f"model.backbone.arch={arch}")
        assert cfg.model.backbone.init_cfg.checkpoint.endswith(f"/{file}")

    def test_weights_that_do_not_exist(self, cli):
        argv = self.start(cli, "--weights", "imagenet22k", options="model.backbone.arch=atto")
        message = cli.refused("train", argv)
        assert "no published weights 'imagenet22k' for arch 'atto': it has imagenet1k" in message

    def test_hub_ids_are_no_missing_files(self, cli):
        cfg = self.planned(cli, "--weights", "timm/convnext_tiny.fb_in1k")
        assert cfg.model.backbone.init_cfg.checkpoint == "timm/convnext_tiny.fb_in1k"

    def test_the_published_model_of_a_recipe(self, cli):
        cfg = self.planned(cli, options="load_from=published")
        assert cfg.load_from.endswith("/ade20k/upernet_convnext_tiny_1k_512x512.pth")

    def test_a_file_of_another_layout_trains(self, cli, classifier):
        say(cli, "convert", classifier, "tv.pth", "--to", "torchvision")
        options = "train_cfg.max_iters=1 train_cfg.val_interval=2"
        cli.train("seg", "--weights", "tv.pth", "--work-dir", "w", options=options)
        (log,) = Path("w").glob("*/*.log")
        assert "layout       torchvision" in log.read_text()


class TestPublishedModels:
    def test_are_evaluated_by_name(self, cli):
        args = parse_args("test", [str(cli.config["seg"]), "published"])
        cfg = plan_run(run_options(args), TEST).config
        assert cfg.load_from.endswith("/ade20k/upernet_convnext_tiny_1k_512x512.pth")

    def test_only_the_recipes_have_one(self, cli, tmp_path):
        (tmp_path / "mine.py").write_text(f"_base_ = {str(cli.config['seg'])!r}")
        message = cli.refused("test", ["mine.py", "published"])
        assert "there is no published model for mine.py, only for mask_rcnn_" in message


def as_old(checkpoint, cli, block_names):
    """The checkpoint as mmdet 2.x and mmseg 0.x would have saved it."""
    content = cli.load(checkpoint)
    state = {}
    for name, value in content["state_dict"].items():
        for ours, theirs in block_names.items():
            if name.startswith("backbone."):
                name = name.replace(ours, theirs)
        state[name] = value
    classes = content["meta"]["dataset_meta"]["classes"]
    return dict(meta=dict(CLASSES=classes, mmcv_version="1.3.8"), state_dict=state, optimizer={})


def detections(path):
    """Boxes and scores of every image."""
    images = sorted(pickle.loads(path.read_bytes()), key=lambda image: image["img_id"])
    found = (image["pred_instances"] for image in images)
    return [np.asarray(one[key]) for one in found for key in ("bboxes", "scores", "labels")]


def label_maps(path):
    return [np.asarray(Image.open(file)) for file in sorted(path.glob("*.png"))]


class TestWholeModels:
    """Old files evaluate to the figures of the run that they are of."""

    @pytest.mark.parametrize("kind", ["det", "seg"])
    @pytest.mark.parametrize(
        "block_names",
        [{}, {"dwconv": "depthwise_conv", "pwconv": "pointwise_conv"}],
        ids=["meta", "mmpretrain"],
    )
    def test_old_files_give_equal_predictions(self, kind, block_names, cli, trained, tmp_path):
        new = trained[kind] / dict(det="epoch_3.pth", seg="iter_6.pth")[kind]
        torch.save(as_old(new, cli, block_names), "old.pth")
        outs = {}
        for name, checkpoint in (("new", new), ("old", "old.pth")):
            out = tmp_path / (f"{name}.pkl" if kind == "det" else name)
            cli.test(kind, checkpoint, "--work-dir", f"{name}_run", "--out", out)
            outs[name] = detections(out) if kind == "det" else label_maps(out)
        assert len(outs["new"]) > 1
        for new_array, old_array in zip(outs["new"], outs["old"], strict=True):
            assert np.array_equal(new_array, old_array)

    def test_other_classes_start_training_only_on_request(self, cli, trained):
        checkpoint = trained["seg"] / "iter_6.pth"
        flags = ["--weights", "none", "--work-dir", "w", "--classes", "left,right,disc,more"]
        options = f"load_from={checkpoint} train_cfg.max_iters=1 train_cfg.val_interval=2"
        message = cli.refused("train", cli.argv("seg", *flags, options=options))
        assert "reinit_heads=True, also as a config key" in message
        cli.train("seg", *flags, options=f"{options} reinit_heads=True")


class TestList:
    def test_names_with_their_licences(self, cli):
        said = say(cli, "list", "eupe", "--arch", "tiny")
        assert said.splitlines() == [
            "eupe",
            "  tiny     LVD-1689M without labels (EUPE), 256 px; no top-1",
            "           timm/convnext_tiny.eupe_lvd1689m",
            "           FAIR Noncommercial Research License, which forbids commercial use",
        ]

    def test_all_of_an_arch(self, cli):
        names = [
            line for line in say(cli, "list", "--arch", "v2_huge").splitlines() if line[0] > " "
        ]
        assert names == [name for name, files in WEIGHTS.items() if "v2_huge" in files]
        assert all(name in say(cli, "list").splitlines() for name in WEIGHTS)

    def test_what_there_is_not(self, cli):
        message = cli.refused("weights", ["list", "dino"])
        assert "there are no weights 'dino', choose one of dinov3, imagenet1k" in message
        message = cli.refused("weights", ["list", "eupe", "--arch", "large"])
        assert "'eupe' for arch 'large': it has imagenet1k" in message
