"""The length of a training, by value."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from mmengine.config import Config

from convnext_dense.config.options import RunOptions
from convnext_dense.config.state import Plan
from convnext_dense.config.steps.read import read_given_config
from convnext_dense.config.steps.schedule import set_schedule

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).parents[3] / "configs"
DETECTORS = sorted((CONFIGS / "det").glob("*convnext*.py"))
SEGMENTERS = sorted((CONFIGS / "seg").glob("*convnext*.py"))


@cache
def read(config: Path | str) -> Config:
    return read_given_config(Plan(RunOptions(str(config)))).config


def scheduled(config: Path | str, **asked: object) -> Config:
    options = RunOptions(str(config), **asked)
    return set_schedule(Plan(options, config=read(config))).config


def of_schedulers(cfg: Config, *keys: str) -> list:
    found = cfg.param_scheduler
    nodes = found if isinstance(found, list) else [found]
    return [{key: node[key] for key in keys if key in node} for node in nodes]


@pytest.mark.parametrize("config", DETECTORS, ids=lambda path: path.stem)
@pytest.mark.parametrize(
    ("epochs", "warm_up", "milestones", "interval"),
    [(18, 250, [13, 16], 1), (72, 1000, [54, 66], 2)],
)
def test_detectors(config, epochs, warm_up, milestones, interval):
    cfg = scheduled(config, epochs=epochs)
    assert cfg.train_cfg.to_dict() == dict(
        type="EpochBasedTrainLoop", max_epochs=epochs, val_interval=interval
    )
    assert of_schedulers(cfg, "begin", "end", "milestones", "by_epoch") == [
        dict(begin=0, end=warm_up, by_epoch=False),
        dict(begin=0, end=epochs, milestones=milestones, by_epoch=True),
    ]
    assert cfg.default_hooks.checkpoint.interval == interval


@pytest.mark.parametrize("config", SEGMENTERS, ids=lambda path: path.stem)
@pytest.mark.parametrize(
    ("iters", "warm_up", "interval"), [(80000, 750, 8000), (320000, 3000, 32000)]
)
def test_segmenters(config, iters, warm_up, interval):
    cfg = scheduled(config, iters=iters)
    assert cfg.train_cfg.to_dict() == dict(
        type="IterBasedTrainLoop", max_iters=iters, val_interval=interval
    )
    assert of_schedulers(cfg, "begin", "end") == [
        dict(begin=0, end=warm_up),
        dict(begin=0, end=iters),
    ]
    assert cfg.default_hooks.checkpoint.interval == interval


def test_both_lists_are_complete():
    assert (len(DETECTORS), len(SEGMENTERS)) == (7, 6)
