"""The steps of a run on recipes with heads of transformers."""

import pytest

from convnext_dense.config.options import RunOptions
from convnext_dense.config.plan import MODEL, SWAP, plan_run
from convnext_dense.config.steps.freeze import set_freeze
from convnext_dense.config_tree import classifying_heads, is_segmenter

pytestmark = pytest.mark.slow

RECIPES = ("det/rtdetrv2_convnext_s_coco", "seg/hf_upernet_convnext_t_ade20k")


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_backbone_is_replaced_and_the_head_follows(recipe):
    cfg = plan_run(RunOptions(recipe, backbone="v2_atto"), SWAP).config
    before = plan_run(RunOptions(recipe), MODEL).config
    assert cfg.model.backbone.arch == "v2_atto" and cfg.model.head == before.model.head
    stages = tuple(before.model.backbone.get("out_indices", (0, 1, 2, 3)))
    assert tuple(cfg.model.backbone.out_indices) == stages and "neck" not in cfg.model


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_head_has_the_classes(recipe):
    cfg = plan_run(RunOptions(recipe), MODEL).config
    number = 150 if is_segmenter(cfg.model) else 80
    for given in (True, False):
        ((path, head, found),) = classifying_heads(cfg.model)
        assert (path, found, "num_classes" in head) == ("model.head", number, given)
        head.pop("num_classes", None)


@pytest.mark.parametrize("recipe", RECIPES)
def test_stages_are_frozen(recipe):
    plan = plan_run(RunOptions(recipe, freeze=2), MODEL)
    assert set_freeze(plan).config.model.backbone.frozen_stages == 2
