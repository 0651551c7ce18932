"""The recipes of other backbones train on other data through the same flags."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).parents[2] / "configs"
# As many channels per stage as the small ConvNeXt of these tests has.
SMALL = {
    "swin_t": """model.backbone.embed_dims=8 model.backbone.depths=1,1,1,1
        model.backbone.num_heads=1,2,4,8""",
    "r50": "model.backbone.depth=18 model.backbone.base_channels=8",
}
MASK_RCNN, UPERNET = "det/mask_rcnn_{}_coco.py", "seg/upernet_{}_ade20k.py"


@pytest.mark.parametrize("backbone", SMALL)
@pytest.mark.parametrize(
    ("kind", "recipe", "length"),
    [
        ("det", MASK_RCNN, "train_cfg.max_epochs=1 default_hooks.logger.interval=1"),
        ("seg", UPERNET, "train_cfg.max_iters=3 default_hooks.logger.interval=1"),
    ],
)
def test_trains(cli, kind, recipe, length, backbone):
    only_losses = "val_cfg=None val_dataloader=None val_evaluator=None"
    argv = cli.argv(
        kind,
        *("--weights", "none", "--seed", 0, "--work-dir", "w"),
        options=f"{SMALL[backbone]} {length} {only_losses}",
    )
    argv[0] = str(CONFIGS / recipe.format(backbone))
    status, _, err = cli.call("train", [arg for arg in argv if "backbone.arch" not in arg])
    assert status == 0, err
    losses = [entry["loss"] for entry in cli.logged("w")]
    assert len(losses) == 3 and all(map(math.isfinite, losses))
    (checkpoint,) = Path("w").glob("*_[13].pth")
    first = {"swin_t": "patch_embed.projection.weight", "r50": "layer1.0.conv1.weight"}[backbone]
    assert f"backbone.{first}" in cli.load(checkpoint)["state_dict"]
