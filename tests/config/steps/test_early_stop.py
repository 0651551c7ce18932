"""``early_stop`` adds one hook, and lets the run save the best that it goes by."""

from __future__ import annotations

import pytest
from mmengine.config import Config

from convnext_dense.config.options import RunOptions
from convnext_dense.config.state import Plan
from convnext_dense.config.steps.early_stop import HOOK, set_early_stop

ADDED = dict(type=HOOK, patience=3)


def plan(patience: int = 3, **changes) -> Plan:
    cfg = dict(
        val_cfg=dict(type="ValLoop"),
        val_dataloader=dict(dataset=dict(type="CocoDataset")),
        val_evaluator=[dict(type="mmdet.CocoMetric")],
        default_hooks=dict(checkpoint=dict(type="CheckpointHook", save_best="coco/bbox_mAP")),
    )
    cfg.update(changes)
    return Plan(RunOptions("a.py", early_stop=patience), Config(cfg))


def test_the_best_of_the_config_stays():
    done = set_early_stop(plan())
    assert done.config.custom_hooks == [ADDED]
    assert done.config.default_hooks == plan().config.default_hooks
    assert done.notes == (
        "`early_stop=3`: the training stops after 3 validations in a row without a new best "
        "coco/bbox_mAP",
    )


@pytest.mark.parametrize(
    ("hooks", "evaluator", "saved"),
    [
        ({}, dict(type="IoUMetric"), "mIoU"),
        ({}, dict(type="mmseg.IoUMetric", iou_metrics=["mDice"]), "mDice"),
        (dict(checkpoint=dict(type="CheckpointHook", by_epoch=False)), dict(type="X"), "auto"),
        (None, [dict(type="mmdet.LVISMetric")], "auto"),
    ],
    ids=["mIoU", "mDice", "other", "no hooks"],
)
def test_a_best_is_saved_where_the_config_saves_none(hooks, evaluator, saved):
    done = set_early_stop(plan(default_hooks=hooks, val_evaluator=evaluator))
    hook = done.config.default_hooks.checkpoint
    assert (hook.save_best, hook.rule) == (saved, "greater")
    if hooks:
        assert not hook.by_epoch
    assert "saves no best checkpoint" in done.notes[1]


def test_the_first_of_several_figures_is_named():
    hook = dict(type="CheckpointHook", save_best=["a", "b"])
    assert set_early_stop(plan(default_hooks=dict(checkpoint=hook))).notes[0].endswith("new best a")


@pytest.mark.parametrize("kind", ["EarlyStoppingHook", HOOK])
def test_another_patience_is_replaced(kind):
    other = dict(type="EMAHook")
    done = set_early_stop(plan(custom_hooks=[dict(type=kind, patience=9), other]))
    assert done.config.custom_hooks == [other, ADDED]
    assert done.notes[1] == "`early_stop` replaces the config's EarlyStoppingHook"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(patience=0), "`early_stop` is at least 1, got 0"),
        (dict(val_cfg=None), "`early_stop` counts validations, but the config has none"),
        (dict(val_dataloader=None), "`early_stop` counts validations, but the config has none"),
        (
            dict(default_hooks=dict(checkpoint=None)),
            "`early_stop` keeps the best, but default_hooks.checkpoint is None",
        ),
    ],
    ids=str,
)
def test_what_cannot_stop_early_is_refused(changes, message):
    with pytest.raises(ValueError) as error:
        set_early_stop(plan(**changes))
    assert str(error.value) == message
