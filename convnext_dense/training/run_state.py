"""Check the optimizer's and the schedule's state in a checkpoint, before mmengine loads it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner

from convnext_dense.checkpoints.resumable import is_count, refusal_message
from convnext_dense.checkpoints.unusable_values import is_finite
from convnext_dense.config_tree import value_at


def require_state_of_run(checkpoint: Mapping, runner: Runner, path: str) -> None:
    """Check that a checkpoint has the state of the optimizer and schedule that a runner has built.

    mmengine silently starts a missing state from the beginning.

    Raises:
        RuntimeError: If a key is missing or not of this run; the message names ``path`` and key.
    """
    fault = next(_faults(checkpoint, runner), None)
    if fault:
        raise RuntimeError(refusal_message(path, fault))


def _faults(checkpoint: Mapping, runner: Runner) -> Iterator[str]:
    step = value_at(checkpoint, "meta.iter")
    iteration = step if isinstance(step, int) else 0
    wrapper = runner.optim_wrapper
    state = checkpoint.get("optimizer")
    if isinstance(wrapper, OptimWrapperDict):
        if not isinstance(state, Mapping):
            yield "optimizer is not a dict"
            return
        for name, part in wrapper.items():
            yield from _optimizer_faults(state.get(name), part, f"optimizer.{name}", iteration)
    elif isinstance(wrapper, OptimWrapper):
        yield from _optimizer_faults(state, wrapper, "optimizer", iteration)
    ours = runner.param_schedulers
    if ours:
        yield from _scheduler_faults(checkpoint.get("param_schedulers"), ours, "param_schedulers")


def _optimizer_faults(
    state: object, wrapper: OptimWrapper, key: str, iteration: object
) -> Iterator[str]:
    ours = wrapper.optimizer.param_groups
    theirs = value_at(state, "param_groups")
    moments = value_at(state, "state")
    if not (isinstance(theirs, list) and isinstance(moments, Mapping)):
        yield f"{key} has no param_groups and state"
        return
    if len(theirs) != len(ours):
        yield (
            f"{key} has {len(theirs)} groups of parameters, and this run has {len(ours)}: "
            "`freeze` and optim_wrapper.paramwise_cfg make them"
        )
        return
    for number, (group, own) in enumerate(zip(theirs, ours, strict=True)):
        where = f"{key}.param_groups.{number}"
        numbers = group.get("params") if isinstance(group, Mapping) else None
        if not isinstance(numbers, list) or len(numbers) != len(own["params"]):
            yield f"{where} is for other parameters than this run's"
            return
        lr = group.get("lr")
        if not _is_rate(lr):
            yield f"{where}.lr is {lr!r}, not a number of at least 0"
        for index, parameter in zip(numbers, own["params"], strict=True):
            yield from _moment_faults(moments.get(index), parameter, f"{key}.state.{index}")
    if iteration and not moments and _keeps_moments(wrapper.optimizer):
        yield f"{key}.state is empty after {iteration} iterations"


def _is_rate(value: object) -> bool:
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        value = value.item()
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return math.isfinite(value) and value >= 0


def _moment_faults(moments: object, parameter: torch.Tensor, where: str) -> Iterator[str]:
    if moments is None:  # a parameter without a gradient has none
        return
    if not isinstance(moments, Mapping):
        yield f"{where} is not a dict"
        return
    for name, value in moments.items():
        if not isinstance(value, torch.Tensor):
            continue
        if value.ndim and name.startswith("exp_avg") and value.shape != parameter.shape:
            yield (
                f"{where}.{name} has shape {tuple(value.shape)}, and its parameter "
                f"{tuple(parameter.shape)}"
            )
        elif value.is_floating_point() and not is_finite(value):
            yield f"{where}.{name} is not finite"


def _keeps_moments(optimizer: torch.optim.Optimizer) -> bool:
    """Whether an optimizer has a state after its first step; plain SGD has none."""
    return any(group.get("betas") or group.get("momentum") for group in optimizer.param_groups)


def _scheduler_faults(theirs: object, ours: Mapping | Sequence, key: str) -> Iterator[str]:
    if isinstance(ours, Mapping):  # several optimizers have their own
        for name, schedulers in ours.items():
            yield from _scheduler_faults(value_at(theirs, name), schedulers, f"{key}.{name}")
        return
    if not isinstance(theirs, list):
        yield f"{key} is not a list"
    elif len(theirs) != len(ours):
        yield f"{key} has {len(theirs)} schedules, and this run has {len(ours)}"
    else:
        for number, state in enumerate(theirs):
            if not (isinstance(state, Mapping) and is_count(state.get("last_step"))):
                yield f"{key}.{number} has no last_step"
