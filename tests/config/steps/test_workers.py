"""``workers`` sets all loaders, and leaves none of the settings that torch refuses without them."""

from __future__ import annotations

import pytest
from mmengine.config import Config
from torch.utils.data import DataLoader

from convnext_dense.config.options import RunOptions
from convnext_dense.config.state import Plan
from convnext_dense.config.steps.workers import set_workers
from convnext_dense.config_tree import SPLITS
from convnext_dense.limits import MOST_PER_CORE, count_cores


def plan(workers, **loader) -> Plan:
    loaders = {f"{split}_dataloader": dict(loader) for split in SPLITS}
    return Plan(RunOptions("a.py", workers=workers), Config(loaders))


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_torch_takes_every_loader(workers):
    asks = dict(num_workers=2, persistent_workers=True, prefetch_factor=4, timeout=30)
    cfg = set_workers(plan(workers, **asks, multiprocessing_context="fork")).config
    for split in SPLITS:
        loader = DataLoader([1, 2], **cfg[f"{split}_dataloader"])
        assert loader.num_workers == workers
        assert loader.persistent_workers == (workers > 0)


def test_a_loader_gets_no_setting_that_it_had_not():
    cfg = set_workers(plan(0, num_workers=2)).config
    assert cfg.train_dataloader == dict(num_workers=0)


def test_a_loader_that_is_missing_stays_missing():
    before = Plan(RunOptions("a.py", workers=1), Config(dict(train_dataloader=dict(batch_size=1))))
    cfg = set_workers(before).config
    assert cfg.train_dataloader.num_workers == 1 and "val_dataloader" not in cfg


@pytest.mark.parametrize(
    ("workers", "message"),
    [
        (-1, "`workers` is at least 0, got -1"),
        (10**4, f"`workers` is at most {MOST_PER_CORE * count_cores()} on this machine"),
    ],
)
def test_other_numbers_are_refused(workers, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        set_workers(plan(workers))


def test_a_config_without_loaders_is_refused():
    with pytest.raises(ValueError, match=r"^`workers`: the config has no loader$"):
        set_workers(Plan(RunOptions("a.py", workers=1)))
