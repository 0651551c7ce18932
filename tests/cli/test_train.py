"""A recipe trains and evaluates on other data through the flags."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from convnext_dense import ConvNeXt

pytestmark = pytest.mark.slow

ARCH = dict(depths=(1, 1, 1, 1), channels=(8, 16, 32, 64))
METRICS = {
    "det": ("coco/bbox_mAP", "coco/segm_mAP", "coco/bbox_mAP_50", "coco/segm_mAP_50"),
    "seg": ("aAcc", "mIoU", "mAcc"),
}
LAST = {"det": "epoch_3.pth", "seg": "iter_6.pth"}


@pytest.mark.parametrize("kind", METRICS)
def test_test_gives_the_metrics_of_the_last_validation(cli, trained, kind):
    cli.test(kind, trained[kind] / LAST[kind], "--work-dir", "tested")
    (file,) = Path("tested").glob("*/*.json")
    tested = json.loads(file.read_text())
    validated = [entry for entry in cli.logged(trained[kind]) if METRICS[kind][0] in entry][-1]
    for metric in METRICS[kind]:
        assert tested[metric] == validated[metric] >= 0


@pytest.mark.parametrize(
    ("kind", "kept"), [("det", ["epoch_2", "epoch_3"]), ("seg", ["iter_4", "iter_6"])]
)
def test_keeps_the_last_two_checkpoints_and_the_best(trained, kind, kept):
    names = sorted(path.stem for path in trained[kind].glob("*.pth"))
    assert [name for name in names if not name.startswith("best_")] == kept
    assert sum(name.startswith("best_") for name in names) == 1


def test_says_what_it_does_not_do_as_the_recipe_says(trained):
    said = (trained["det"] / "said.txt").read_text()
    assert "note: --weights none: the backbone starts from random values\n" in said
    if not torch.cuda.is_available():
        notes = [line for line in said.splitlines() if "training in float32" in line]
        assert notes == [
            "note: no CUDA: training in float32 (the recipe says mixed precision; see --amp)"
        ]


def test_weights_in_metas_layout_are_in(cli, trained):
    torch.manual_seed(1)
    net = ConvNeXt(ARCH, norm_out=False)
    classifier = {"norm.weight": torch.ones(64), "norm.bias": torch.ones(64)}
    classifier |= {"head.weight": torch.ones(10, 64), "head.bias": torch.ones(10)}
    torch.save({"model": {**net.state_dict(), **classifier}}, "meta.pth")
    # At a rate next to 0 the weights of the first checkpoint are those that were loaded.
    said = cli.train(
        "seg",
        *("--weights", "meta.pth", "--work-dir", "w"),
        options="optim_wrapper.optimizer.lr=1e-30 train_cfg.max_iters=1",
    )
    assert "weights      meta.pth; licence: not known by the name" in said
    assert f"loaded       {len(net.state_dict())} parameters" in cli.log("w")
    saved = cli.load("w/iter_1.pth")["state_dict"]
    for name, value in net.state_dict().items():
        torch.testing.assert_close(saved[f"backbone.{name}"], value, rtol=0, atol=1e-20)


def test_trains_boxes_alone_on_a_file_without_masks(cli, boxes):
    flags = ["--data-root", boxes, "--weights", "none", "--work-dir", "w"]
    refused = cli.refused("train", cli.argv("det", *flags))
    assert "has no segmentation" in refused
    assert "--box-only" in refused

    cli.train("det", *flags, "--box-only", options="train_cfg.max_epochs=1")
    assert not any("mask_head" in name for name in cli.load("w/epoch_1.pth")["state_dict"])
    validated = cli.logged("w")[-1]
    assert validated["coco/bbox_mAP"] >= 0
    assert not any("segm" in name for name in validated)
