"""A training resumes from a whole state, or is refused by the file and the key."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import LinearLR, OptimWrapper

from convnext_dense.training.run_state import require_state_of_run


def run_of(model: torch.nn.Module, lr: float = 0.1) -> SimpleNamespace:
    """What is looked at of a runner, after a step."""
    optimizer = torch.optim.AdamW([dict(params=[p]) for p in model.parameters()], lr=lr)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    wrapper = OptimWrapper(optimizer)
    return SimpleNamespace(optim_wrapper=wrapper, param_schedulers=[LinearLR(wrapper)])


@pytest.fixture
def runner():
    return run_of(torch.nn.Linear(3, 2))


@pytest.fixture
def checkpoint(runner):
    return dict(
        meta=dict(iter=1, epoch=0),
        optimizer=runner.optim_wrapper.state_dict(),
        param_schedulers=[schedule.state_dict() for schedule in runner.param_schedulers],
    )


def test_a_whole_state_goes_through(checkpoint, runner):
    require_state_of_run(checkpoint, runner, "iter_1.pth")


def spoil(checkpoint: dict, key: str, value: object) -> None:
    """Put a value at a key of dots; drop the key where the value is ``...``."""
    *path, last = key.split(".")
    at = checkpoint
    for part in path:
        at = at[int(part) if part.isdigit() else part]
    last = int(last) if last.isdigit() else last
    if value is ...:
        del at[last]
    else:
        at[last] = value


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("optimizer", ..., "optimizer has no param_groups and state"),
        ("optimizer", "text", "optimizer has no param_groups and state"),
        ("optimizer.state", {}, "optimizer.state is empty after 1 iterations"),
        ("optimizer.state.0", 3, "optimizer.state.0 is not a dict"),
        ("optimizer.state.0.exp_avg", torch.zeros(5), r"state.0.exp_avg has shape \(5,\)"),
        ("optimizer.state.1.exp_avg_sq", torch.full((2,), torch.nan), "exp_avg_sq is not finite"),
        ("optimizer.param_groups.1", ..., "has 1 groups of parameters, and this run has 2"),
        ("optimizer.param_groups.0.params", [0, 1], "is for other parameters than this run's"),
        ("optimizer.param_groups.1.lr", -1, "param_groups.1.lr is -1"),
        ("optimizer.param_groups.1.lr", float("inf"), "param_groups.1.lr is inf"),
        ("optimizer.param_groups.1.lr", None, "param_groups.1.lr is None"),
        ("param_schedulers", ..., "param_schedulers is not a list"),
        ("param_schedulers", [], "param_schedulers has 0 schedules, and this run has 1"),
        ("param_schedulers.0.last_step", -7, "param_schedulers.0 has no last_step"),
    ],
)
def test_a_state_of_another_run_is_refused(checkpoint, runner, key, value, complaint):
    spoil(checkpoint, key, value)
    with pytest.raises(RuntimeError, match=rf"^checkpoint w/iter_1\.pth .*{complaint}.*load_from"):
        require_state_of_run(checkpoint, runner, "w/iter_1.pth")


def test_sgd_without_momentum_has_no_state(checkpoint):
    model = torch.nn.Linear(3, 2)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    runner = SimpleNamespace(optim_wrapper=wrapper, param_schedulers=None)
    checkpoint["optimizer"] = wrapper.state_dict()
    del checkpoint["param_schedulers"]
    require_state_of_run(checkpoint, runner, "iter_1.pth")
