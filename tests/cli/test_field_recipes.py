"""The recipes beyond ConvNeXt's paper train and are evaluated on other data, by flags alone."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).parents[2] / "configs"
DROPLETS = "--classes droplet --ann-train annotations/instances_train.json"
DROPLETS += " --ann-val annotations/instances_val.json"
CAMVID = "--classes sky,building,pole,road,pavement,tree,sign,fence,car,pedestrian,bicyclist"
# A recipe, the backbone that makes it small, and a size that has positions enough for 900 queries.
RECIPES = [
    ("det/mask_rcnn_convnext_v2_b_coco", "v2_atto", 64),
    ("det/dino_convnext_t_coco", "atto", 320),
    ("det/rtmdet_convnext_b_in22k_coco", "atto", 64),
    ("det/mask2former_convnext_t_coco", "atto", 64),
    ("seg/upernet_convnext_v2_b_ade20k", "v2_atto", 64),
    ("seg/upernet_convnext_v2_h_in22k_ade20k", "v2_atto", 64),
    ("seg/mask2former_convnext_t_ade20k", "atto", 64),
    ("seg/mask2former_convnext_b_ade20k", "atto", 64),
]


def train_and_test(cli, recipe, *flags, training=()):
    config = str(CONFIGS / f"{recipe}.py")
    status, _, err = cli.call("train", [config, *flags, *training, "--work-dir", "w"])
    assert status == 0, err
    losses = [entry["loss"] for entry in cli.logged("w") if "loss" in entry]
    assert losses and all(map(math.isfinite, losses))
    checkpoint = str(max(Path("w").glob("[ei]*_[0-9].pth")))
    status, _, err = cli.call("test", [config, checkpoint, *flags, "--work-dir", "t"])
    assert status == 0, err
    return json.loads(Path("t/metrics.json").read_text())["metrics"]


@pytest.mark.long
@pytest.mark.parametrize(("recipe", "arch", "size"), RECIPES)
def test_real_data(cli, shared_data, recipe, arch, size):
    detector = recipe.startswith("det/")
    data = ["--data-root", str(shared_data / ("droplets" if detector else "camvid"))]
    data += (DROPLETS if detector else CAMVID).split()
    small = ["--img-size", str(size), "--backbone", arch, "--limit", "4", "--workers", "0"]
    training = ["--weights", "none", "--batch-size", "2", "--iters", "2"]
    metrics = train_and_test(cli, recipe, *data, *small, training=training)
    assert ("bbox_AP" if detector else "mIoU") in metrics


def test_a_detr_of_one_layer(cli):
    """What the long tests try, as small as it can be."""
    options = "model.encoder.num_layers=1 model.decoder.num_layers=1 model.num_queries=60"
    small = [*cli.flags["det"], "--backbone", "atto", "--limit", "2"]
    flags = [*small, "--workers", "0", "--cfg-options", *options.split()]
    training = ["--weights", "none", "--batch-size", "2", "--iters", "1"]
    metrics = train_and_test(cli, "det/dino_convnext_t_coco", *flags, training=training)
    assert "bbox_AP" in metrics


def test_too_few_positions_are_refused_before_training(cli):
    config = str(CONFIGS / "det/dino_convnext_t_coco.py")
    flags = [*cli.flags["det"], "--backbone", "atto", "--weights", "none", "--workers", "0"]
    message = cli.refused("train", [config, *flags, "--work-dir", "w"])
    assert "positions for its 900 queries: use --img-size " in message
    assert " or --cfg-options model.num_queries=" in message
