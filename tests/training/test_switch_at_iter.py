"""A switch at an iteration reaches the data from there on, also in a resumed run."""

from __future__ import annotations

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import DATASETS, HOOKS
from torch.utils.data import Dataset

pytestmark = pytest.mark.slow

SWITCH = 6


@DATASETS.register_module(force=True)
class Shifted(Dataset):
    """Samples of one value, which a hook changes."""

    metainfo = dict(classes=("a", "b"))
    shift = 0.0

    def __len__(self):
        return 10

    def __getitem__(self, index):
        return dict(inputs=torch.rand(4) + self.shift)


@HOOKS.register_module(force=True)
class ShiftHook(Hook):
    """Switches when an epoch begins, as mmdet's hooks do."""

    def __init__(self, by):
        self.by = by

    def before_train_epoch(self, runner):
        runner.train_dataloader.dataset.shift = self.by


class Recorder(Hook):
    def __init__(self):
        self.batches = {}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.batches[runner.iter] = torch.stack(data_batch["inputs"])


def train(runner) -> dict[int, torch.Tensor]:
    runner.register_hook(recorder := Recorder())
    runner.train()
    runner.train_loop.dataloader_iterator = None
    return recorder.batches


@pytest.fixture
def switching(make_runner):
    def make(name, num_workers=0, **options):
        hook = dict(
            type="SwitchAtIterHook", iteration=SWITCH, hook=dict(type="ShiftHook", by=100.0)
        )
        loader = dict(dataset=dict(type="Shifted"))
        options = dict(by_epoch=False, num_workers=num_workers, **options)
        return make_runner(name, hooks=[hook], loader=loader, **options)

    return make


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("interval", [4, 6])
def test_switches_at_the_iteration(switching, num_workers, interval):
    batches = train(switching("run", num_workers, interval=interval))
    assert {step: bool((batch > 50).all()) for step, batch in batches.items()} == {
        step: step >= SWITCH for step in range(12)
    }


@pytest.mark.parametrize("stop", [5, 7, 10])
def test_a_resumed_run_sees_the_same_batches(switching, stop):
    whole = train(switching("whole"))
    with pytest.raises(KeyboardInterrupt):
        switching("stopped", stop=stop).train()
    later = train(switching("stopped", resume=True))
    assert max(later) == 11 and min(later) < stop
    assert all(torch.equal(later[step], whole[step]) for step in later)


def test_switches_a_loader_that_cannot_be_restarted(make_runner):
    hook = dict(type="SwitchAtIterHook", iteration=SWITCH, hook=dict(type="ShiftHook", by=100.0))
    loader = dict(dataset=dict(type="Shifted"), sampler=dict(type="DefaultSampler"))
    runner = make_runner("run", by_epoch=False, num_workers=2, hooks=[hook], loader=loader)
    batches = train(runner)
    assert all(bool((batch > 50).all()) == (step >= SWITCH) for step, batch in batches.items())
