"""The usual knobs on the thirteen recipes and on some of mmdet's and mmseg's, by value."""

from __future__ import annotations

from pathlib import Path

import pytest

from convnext_dense.config.options import RunOptions
from convnext_dense.config.plan import TRAIN
from convnext_dense.config.read_config import read_config
from convnext_dense.config.state import Plan
from convnext_dense.config.steps.early_stop import set_early_stop
from convnext_dense.config.steps.freeze import set_freeze
from convnext_dense.config.steps.limit import set_limit
from convnext_dense.config.steps.workers import set_workers
from convnext_dense.config_tree import SPLITS, datasets

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).parents[2] / "configs"
RECIPES = [
    *(CONFIGS / "det" / f"cascade_convnext_{arch}_coco.py" for arch in "tsb"),
    *(CONFIGS / "det" / f"cascade_convnext_{arch}_in22k_coco.py" for arch in ("b", "l", "xl")),
    CONFIGS / "det" / "mask_rcnn_convnext_t_coco.py",
    *(CONFIGS / "seg" / f"upernet_convnext_{arch}_ade20k.py" for arch in "tsb"),
    *(CONFIGS / "seg" / f"upernet_convnext_{arch}_in22k_ade20k.py" for arch in ("b", "l", "xl")),
]
# With the indices of training and validation under a limit of 7, and the figure of the best.
ZOO = {
    "mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py": ([7, 7], "auto"),
    "mmdet::pascal_voc/faster-rcnn_r50_fpn_1x_voc0712.py": ([4, 3, 7], "auto"),
    "mmdet::cityscapes/faster-rcnn_r50_fpn_1x_cityscapes.py": ([7, 7], "auto"),
    "mmdet::lvis/mask-rcnn_r50_fpn_sample1e-3_ms-1x_lvis-v1.py": ([7, 7], "auto"),
    "mmdet::yolox/yolox_tiny_8xb8-300e_coco.py": ([7, 7], "auto"),
    "mmseg::swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py": (
        [7, 7],
        "mIoU",
    ),
    "mmseg::unet/unet-s5-d16_fcn_4xb4-40k_stare-128x128.py": ([7, 7], "mDice"),
}


def knobs(config, *steps, **asked):
    plan = Plan(RunOptions(config, **asked), read_config(config), splits=TRAIN.splits)
    for step in steps:
        plan = step(plan)
    return plan.config


def all_knobs(config):
    return knobs(config, set_limit, set_workers, set_early_stop, workers=0, limit=7, early_stop=3)


def check(cfg, indices, best):
    for split in SPLITS:
        loader = cfg[f"{split}_dataloader"]
        assert (loader.num_workers, loader.get("persistent_workers", False)) == (0, False)
    limited = [one.indices for split in TRAIN.splits for _, one in datasets(cfg, split)]
    assert limited == indices
    assert not any("indices" in one for _, one in datasets(cfg, "test"))
    assert cfg.custom_hooks[-1] == dict(type="StopWithoutBestHook", patience=3)
    assert cfg.default_hooks.checkpoint.save_best == best


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_a_recipe(recipe):
    is_detector = recipe.parent.name == "det"
    check(all_knobs(recipe), [7, 7], "coco/bbox_mAP" if is_detector else "mIoU")
    cfg = knobs(recipe, set_freeze, freeze=3)
    assert cfg.model.backbone.frozen_stages == 3


@pytest.mark.parametrize("config", ZOO)
def test_a_config_of_the_zoo(config):
    check(all_knobs(config), *ZOO[config])
