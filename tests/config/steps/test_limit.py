"""``limit`` takes the first images of each data set of a split, whatever wraps it."""

from __future__ import annotations

import pytest
from mmengine.config import Config

from convnext_dense.config.options import RunOptions
from convnext_dense.config.state import Plan
from convnext_dense.config.steps.limit import HOOK, set_limit


def plan(limit: int, splits=("train", "val"), **cfg) -> Plan:
    return Plan(RunOptions("a.py", limit=limit), Config(cfg), splits=splits)


def loader(*inner: dict, **wrapper) -> dict:
    if not wrapper:
        return dict(dataset=dict(inner[0], type="CocoDataset"))
    key, many = ("datasets", list(inner)) if len(inner) > 1 else ("dataset", inner[0])
    return dict(dataset=dict(wrapper, **{key: many}))


@pytest.mark.parametrize(
    "wrapper", ["RepeatDataset", "ClassBalancedDataset", "MultiImageMixDataset"]
)
def test_the_inner_data_set_is_limited(wrapper):
    cfg = set_limit(plan(5, train_dataloader=loader({}, type=wrapper))).config
    assert cfg.train_dataloader.dataset == dict(type=wrapper, dataset=dict(indices=5))


@pytest.mark.parametrize(("limit", "shares"), [(7, [3, 2, 2]), (2, [1, 1, 1]), (9, [3, 3, 3])])
def test_several_data_sets_share_the_number(limit, shares):
    asked = plan(limit, train_dataloader=loader({}, {}, {}, type="ConcatDataset"))
    done = set_limit(asked)
    assert [one.indices for one in done.config.train_dataloader.dataset.datasets] == shares
    assert "shared among" in done.notes[0]


def test_images_that_the_config_chose_come_first():
    asked = plan(2, train_dataloader=loader(dict(indices=[7, 5, 3])))
    assert set_limit(asked).config.train_dataloader.dataset.indices == [7, 5]
    asked = plan(5, train_dataloader=loader(dict(indices=2)))
    assert set_limit(asked).config.train_dataloader.dataset.indices == 2


def test_only_what_the_run_loads_is_limited():
    loaders = {f"{split}_dataloader": loader({}) for split in ("train", "val", "test")}
    cfg = set_limit(plan(1, **loaders)).config
    assert "indices" not in cfg.test_dataloader.dataset
    cfg = set_limit(plan(1, splits=("test",), **loaders)).config
    assert "indices" not in cfg.train_dataloader.dataset
    assert cfg.test_dataloader.dataset.indices == 1


@pytest.mark.parametrize(
    "evaluator",
    [
        dict(type="mmdet.CocoMetric", ann_file="a.json"),
        dict(type="mmdet.LVISMetric", ann_file="a.json"),
        dict(type="mmdet.OVCocoMetric", ann_file="a.json"),
        [dict(type="mmdet.VOCMetric"), dict(type="mmdet.CocoPanopticMetric", ann_file="a.json")],
    ],
    ids=["coco", "lvis", "open", "panoptic"],
)
def test_metrics_with_a_file_evaluate_the_same_images(evaluator):
    asked = plan(1, val_dataloader=loader({}), val_evaluator=evaluator)
    once = set_limit(asked)
    assert once.config.custom_hooks == [dict(type=HOOK)]
    again = set_limit(Plan(asked.options, once.config, splits=asked.splits))
    assert again.config.custom_hooks == [dict(type=HOOK)]


def test_a_metric_without_a_file_needs_nothing():
    asked = plan(1, val_dataloader=loader({}), val_evaluator=dict(type="mmseg.IoUMetric"))
    assert "custom_hooks" not in set_limit(asked).config


@pytest.mark.parametrize(
    ("limit", "cfg", "message"),
    [
        (0, {}, "`limit` is at least 1, got 0"),
        (1, {}, "`limit`: the config has no data set"),
        (
            1,
            dict(train_dataloader=dict(dataset=dict(type="mmdet.YouTubeVISDataset"))),
            "`limit`: train_dataloader.dataset is a mmdet.YouTubeVISDataset, which lists videos",
        ),
        (
            1,
            dict(
                val_dataloader=loader({}),
                val_evaluator=dict(type="mmdet.CrowdHumanMetric", ann_file="a.odgt"),
            ),
            "`limit`: val_evaluator is a mmdet.CrowdHumanMetric, which evaluates every image of "
            "a.odgt: name a file with fewer images instead",
        ),
    ],
)
def test_what_cannot_be_limited_is_refused(limit, cfg, message):
    with pytest.raises(ValueError) as error:
        set_limit(plan(limit, **cfg))
    assert str(error.value) == message
