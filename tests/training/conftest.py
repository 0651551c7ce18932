"""A model, a data set and a run small enough to train in a moment, with every source of chance."""

import random
from functools import partial
from itertools import count

import numpy as np
import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

import convnext_dense.training  # noqa: F401
from convnext_dense.upstream import enable


@pytest.fixture(autouse=True)
def enabled():
    """As a run of ours is."""
    enable()


@DATASETS.register_module(force=True)
class AugmentedPoints(Dataset):
    """Each read of a sample draws from numpy, from random and from torch."""

    metainfo = dict(classes=("a", "b"))

    def __len__(self):
        return 10

    def __getitem__(self, index):
        noise = np.random.rand(4) + random.random()
        return dict(inputs=torch.full((4,), index) + torch.tensor(noise).float() + torch.rand(4))


@MODELS.register_module(force=True)
class DropoutNet(BaseModel):
    def __init__(self, width=8):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(4, width), nn.BatchNorm1d(width), nn.Dropout(0.5), nn.Linear(width, 1)
        )

    def forward(self, inputs, data_samples=None, mode="tensor"):
        y = self.net(torch.stack(inputs))
        return dict(loss=(y - 1).pow(2).mean()) if mode == "loss" else list(y)


@METRICS.register_module(force=True)
class RisingMetric(BaseMetric):
    """A score that is better each time, and uses up random numbers."""

    score = 0.0

    def process(self, data_batch, data_samples):
        self.results += torch.rand(len(data_samples)).tolist()

    def compute_metrics(self, results):
        self.score += 1
        return {"toy/score": self.score}


@METRICS.register_module(force=True)
class UnsteadyMetric(BaseMetric):
    """A score that rises and falls, of predictions and of chance."""

    def process(self, data_batch, data_samples):
        self.results += [float(y) + float(torch.rand(1)) for y in data_samples]

    def compute_metrics(self, results):
        return {"toy/score": sum(results) % 1, "toy/other": -sum(results) % 0.7}


@HOOKS.register_module(force=True)
class StopHook(Hook):
    """What Ctrl-C does: ends the run in the middle of an iteration."""

    def __init__(self, after):
        self.after = after

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.after:
            raise KeyboardInterrupt


RUNS = count()


@pytest.fixture
def make_runner(tmp_path, make_runner_in):
    """Build a runner: ``make_runner(name, by_epoch=..., ...)`` in ``tmp_path / name``."""
    return make_runner_in(tmp_path)


@pytest.fixture(scope="session")
def make_runner_in():
    """Return the function that builds the runners of a folder."""
    return lambda folder: partial(make, folder)


def make(
    folder,
    name,
    *,
    by_epoch=True,
    stop=None,
    resume=False,
    seed=3,
    num_workers=0,
    hooks=(),
    backend_args=None,
    model=None,
    interval=None,
    val_interval=3,
    loader=None,
    optim=None,
    load_from=None,
    checkpoint=None,
    scheduler=None,
    metric="RisingMetric",
):
    # 10 samples in batches of 2: 5 iterations an epoch.
    loop = (
        dict(type="EpochBasedTrainLoop", max_epochs=4)
        if by_epoch
        else dict(type="IterBasedTrainLoop", max_iters=12, val_interval=val_interval)
    )
    custom_hooks = [dict(type="ReproducibleStreamHook"), *hooks]
    if stop is not None:
        custom_hooks.append(dict(type="StopHook", after=stop))
    sampler = dict(type="DefaultSampler" if by_epoch else "InfiniteSampler", shuffle=True)
    train = dict(dataset=dict(type="AugmentedPoints"), batch_size=2, num_workers=num_workers)
    train.update(sampler=sampler, persistent_workers=False)
    train.update(loader or {})
    val = dict(dataset=dict(type="AugmentedPoints"), batch_size=5, num_workers=0)
    val.update(sampler=dict(type="DefaultSampler", shuffle=False))
    return Runner(
        model=dict(type="DropoutNet", **(model or {})),
        work_dir=str(folder / name),
        experiment_name=f"run{next(RUNS)}",
        train_dataloader=train,
        val_dataloader=val,
        val_evaluator=dict(type=metric),
        train_cfg=loop,
        val_cfg=dict(),
        optim_wrapper=optim or dict(optimizer=dict(type="AdamW", lr=0.01)),
        param_scheduler=scheduler
        or dict(type="PolyLR", eta_min=0, by_epoch=by_epoch, end=4 if by_epoch else 12),
        default_hooks=dict(
            checkpoint=dict(
                type="CheckpointHook",
                by_epoch=by_epoch,
                interval=interval or (1 if by_epoch else 4),
                max_keep_ckpts=2,
                save_best="toy/score",
                rule="greater",
                backend_args=backend_args,
            )
            | (checkpoint or {})
        ),
        custom_hooks=custom_hooks,
        randomness=dict(seed=seed),
        resume=resume,
        load_from=load_from,
        log_level="ERROR",
    )
