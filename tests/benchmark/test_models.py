"""The sizes of the recipes, and the ratio of whole models; tests/cli runs them."""

from __future__ import annotations

import pytest
from mmengine.config import Config

import convnext_dense  # noqa: F401  first, since it makes mmdet importable
from convnext_dense.benchmark.models import ModelRow, recipe_shape
from convnext_dense.benchmark.timing import Spread

from ..configs import load

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("config", "train", "infer"),
    [
        ("det/mask_rcnn_convnext_t_coco", (800, 1280), (800, 1280)),
        ("seg/upernet_convnext_t_ade20k", (512, 512), (512, 683)),
        ("seg/upernet_convnext_xl_in22k_ade20k", (640, 640), (640, 853)),
        ("seg/upernet_swin_t_ade20k", (512, 512), (512, 683)),
    ],
)
def test_sizes_are_the_recipes(config, train, infer):
    cfg = load(f"{config}.py")
    assert (recipe_shape(cfg, "train"), recipe_shape(cfg, "infer")) == (train, infer)


def test_a_detector_of_one_size_keeps_it():
    resize = dict(type="Resize", scale=(640, 480), keep_ratio=False)
    cfg = Config(dict(model=dict(bbox_head={}), train_pipeline=[resize]))
    assert recipe_shape(cfg, "train") == recipe_shape(cfg, "infer") == (480, 640)


def test_models_are_compared_by_the_sum_of_their_phases():
    def row(*samples):
        phases = dict(zip(("data", "forward"), samples, strict=True))
        return ModelRow("a", "infer", "fp32", (64, 64), 1, samples=phases)

    first, second = row([1.0, 2.0], [2.0, 4.0]), row([3.0, 6.0], [3.0, 12.0])
    assert first.totals == [3.0, 6.0]
    assert second.total == Spread(12.0, 9.0, 15.0)
    assert second.ratio_to(first) == Spread(2.5, 2.25, 2.75)
