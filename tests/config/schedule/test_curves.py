"""A scaled schedule has the curve of the original, stretched over the new length."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import mmdet
import mmseg
import pytest
import torch
from mmengine.config import Config
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
from mmengine.registry import PARAM_SCHEDULERS

import convnext_dense  # noqa: F401  makes mmdet's and mmseg's classes importable
from convnext_dense.config.options import RunOptions
from convnext_dense.config.schedule.length import Length, Scaling, read_length
from convnext_dense.config.schedule.schedulers import KINDS, kind_of, scale_schedulers, schedulers
from convnext_dense.config.schedule.stages import hooks
from convnext_dense.config.state import Plan
from convnext_dense.config.steps import schedule as step
from convnext_dense.config_tree import type_name

BASE = 0.1
PER_EPOCH = 20
# Schedulers that are not mmengine's.
SCOPES = {"QuadraticWarmupLR": "mmdet", "PolyLRRatio": "mmseg"}


def curve(cfg: Config, length: Length, per_epoch: int = PER_EPOCH) -> list[float]:
    """Return the learning rate of each iteration, as mmengine's hook sets it."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)
    iterations = length.steps * per_epoch if length.by_epoch else length.steps
    built: list[_ParamScheduler] = []
    for _, node in schedulers(cfg):
        own = copy.deepcopy(node)
        own["type"] = f"{SCOPES.get(own['type'], 'mmengine')}.{own['type']}"
        own.setdefault("end", length.steps if own.get("by_epoch", True) else iterations)
        if not own.get("convert_to_iter_based"):
            own.pop("convert_to_iter_based", None)
        extra = dict(optimizer=optimizer, epoch_length=per_epoch)
        built.append(PARAM_SCHEDULERS.build(own, default_args=extra))
    rates = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the optimizer takes no step
        for iteration in range(iterations):
            rates.append(optimizer.param_groups[0]["lr"])
            for one in built:
                ends_epoch = length.by_epoch and (iteration + 1) % per_epoch == 0
                if not one.by_epoch or ends_epoch:
                    one.step()
    return rates


def assert_same_curve(old: list[float], new: list[float], slack: float, case: object = "") -> None:
    """Check that each rate lies between those of the original around the same place.

    Args:
        old, new: The rates of both runs.
        slack: The part of a run by which rounding to whole steps may move a place.
    """
    assert new and min(new) >= 0
    for place in (k / 400 for k in range(1, 400)):
        value = new[int(place * len(new))]
        first = max(0, int((place - slack) * len(old)) - 1)
        around = old[first : int((place + slack) * len(old)) + 2]
        low, high = min(around) * 0.95 - BASE / 100, max(around) * 1.05 + BASE / 100
        assert low <= value <= high, (case, place, value, low, high)


def scaled(cfg: Config, scaling: Scaling) -> Config:
    cfg = copy.deepcopy(cfg)
    scale_schedulers(cfg, scaling)
    for key, node in schedulers(cfg):
        assert node.get("begin", 0) < node.get("end", 10**9), key
        milestones = list(node.get("milestones", ()))
        assert milestones == sorted(set(milestones)), key
    return cfg


ONE_OF_EACH = {
    "Constant": dict(factor=0.5, begin=0, end=40),
    "CosineAnnealing": dict(T_max=60, eta_min=1e-3, begin=40, end=100),
    "CosineRestart": dict(periods=[20, 30, 50], restart_weights=[1, 0.5, 0.25], eta_min=0.0),
    "Exponential": dict(gamma=0.97),
    "Linear": dict(start_factor=0.01, begin=0, end=50),
    "MultiStep": dict(milestones=[60, 80, 90], gamma=0.5),
    "OneCycle": dict(eta_max=0.4, total_steps=100),
    "Poly": dict(power=0.9, eta_min=1e-3, begin=20, end=100),
    "QuadraticWarmup": dict(begin=0, end=30),
    "Step": dict(step_size=25, gamma=0.5),
}


@pytest.mark.parametrize("by_epoch", [True, False])
@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize("steps", [50, 200, 137])
def test_each_kind(kind, by_epoch, steps):
    node = dict(type=f"{kind}LR", by_epoch=by_epoch, **ONE_OF_EACH[kind])
    cfg, old, new = (
        Config(dict(param_scheduler=node)),
        Length(100, by_epoch),
        Length(steps, by_epoch),
    )
    after = scaled(cfg, Scaling(old, new))
    assert_same_curve(curve(cfg, old), curve(after, new), 1.5 / min(steps, 100))


def test_each_kind_is_tried():
    assert {*ONE_OF_EACH, "ReduceOnPlateau"} == set(KINDS)
    assert all(kind_of(dict(type=f"{kind}LR")) == kind for kind in KINDS)


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_epochs_become_iterations(kind):
    node = dict(type=f"{kind}LR", by_epoch=True, **ONE_OF_EACH[kind])
    cfg, old, new = Config(dict(param_scheduler=node)), Length(100, True), Length(730, False)
    after = scaled(cfg, Scaling(old, new, per_epoch=PER_EPOCH))
    assert_same_curve(curve(cfg, old), curve(after, new), 2.5 / 100)


@pytest.mark.parametrize("epochs", [1, 2, 3, 5])
def test_a_few_epochs_keep_the_curve_where_the_data_is_known(epochs):
    """Where milestones would fall together, they count iterations."""
    nodes = [dict(type="MultiStepLR", by_epoch=True, begin=0, end=36, milestones=[27, 33])]
    cfg, old, new = Config(dict(param_scheduler=nodes)), Length(36, True), Length(epochs, True)
    after = scaled(cfg, Scaling(old, new, per_epoch=PER_EPOCH))
    assert not after.param_scheduler[0].by_epoch
    assert_same_curve(curve(cfg, old), curve(after, new), 1.5 / (PER_EPOCH * epochs))


def zoo() -> Iterator[tuple[Path, Config]]:
    """Yield the trainings of both zoos; 26 configs cannot be read, most want mmpretrain."""
    for package in (mmdet, mmseg):
        for file in sorted((Path(package.__file__).parent / ".mim" / "configs").rglob("*.py")):
            try:
                cfg = Config.fromfile(file)
            except (ImportError, OSError):
                continue
            if all(cfg.get(part) for part in ("model", "train_cfg", "train_dataloader")):
                yield file, cfg


@pytest.mark.long
def test_every_training_of_both_zoos(monkeypatch):
    """The plan of each is valid, and each schedule has its curve."""
    monkeypatch.setattr(step, "iterations_if_there", lambda cfg: PER_EPOCH)
    monkeypatch.setattr(step, "count_images", lambda cfg: 1000)
    seen: dict[str, tuple[Path, Config, Length]] = {}
    refused = set()
    for file, cfg in zoo():
        length = read_length(cfg)
        part = Config(dict(param_scheduler=cfg.get("param_scheduler")))
        for _, node in schedulers(part):
            node["type"] = type_name(node)
        key = json.dumps([part.to_dict(), str(length)], sort_keys=True, default=str)
        seen.setdefault(key, (file, part, length))
        for asked in (dict(epochs=1), dict(epochs=7), dict(iters=5), dict(iters=10**5 + 1)):
            try:
                after = step.set_schedule(Plan(RunOptions(cfg, **asked), config=cfg)).config
            except ValueError as error:
                refused.add(str(error).partition(": ")[2])
            else:
                check_plan(after, (file, asked))
    # TOOD, and nothing else.
    assert {reason.partition("=")[0] for reason in refused} == {"model.train_cfg.initial_epoch"}
    assert len(seen) > 80
    for file, cfg, old in seen.values():
        before = curve(cfg, old, 500)
        for factor in (0.5, 2, 0.25):
            steps = max(1, round(old.steps * factor))
            new = Length(steps, old.by_epoch)
            after = scaled(cfg, Scaling(old, new))
            slack = 1.5 / min(steps, old.steps) + 2 / len(before)
            assert_same_curve(before, curve(after, new, 500), slack, (file, factor))


def check_plan(cfg: Config, case: object) -> None:
    """Check that intervals, milestones and schedulers of a plan make sense."""
    loop, length = cfg.train_cfg, read_length(cfg)
    assert loop.val_interval >= 1, case
    changes = [place for place, _ in loop.get("dynamic_intervals") or ()]
    assert changes == sorted(set(changes)), case
    for _, node in schedulers(cfg):
        assert node.get("begin", 0) < node.get("end", 10**9), case
        milestones = list(node.get("milestones", ()))
        assert milestones == sorted(set(milestones)), case
    for _, hook in hooks(cfg):
        if type_name(hook) == "CheckpointHook":
            assert hook.interval >= 1, case
            assert hook.get("by_epoch", True) is length.by_epoch or not length.by_epoch, case
