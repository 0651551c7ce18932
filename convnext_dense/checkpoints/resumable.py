"""What a training goes on from beside its parameters, checked before mmengine takes it over."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner

from convnext_dense.checkpoints.values import is_finite
from convnext_dense.upstream.safe_checkpoint import read_checkpoint

# What mmengine takes without a look, and what each has to be.
_KINDS = {
    "meta": Mapping,
    "meta.iter": int,
    "meta.epoch": int,
    "state_dict": Mapping,
    "message_hub": Mapping,
    "message_hub.log_scalars": Mapping,
    "message_hub.runtime_info": Mapping,
    "message_hub.resumed_keys": Mapping,
}
_NAMES = {Mapping: "a dict", int: "a whole number of at least 0"}
_LONGEST = 2**63  # iterations; torch counts in as many bits
WAY_ON = "Give it as load_from to begin a new run with its weights"


def require_resumable(path: str | Path) -> dict:
    """Read a checkpoint, without its parameters, and check that a training can go on from it.

    Returns:
        Its content, with the parameters still on disk.

    Raises:
        FileNotFoundError: Where there is no such file.
        RefusedError: Where it names code.
        RuntimeError: Where it is not whole, or lacks what mmengine resumes from.
    """
    content = read_checkpoint(path, "cpu", mmap=True)
    faults = [
        f"{key} is not {_NAMES[kind]}"
        for key, kind in _KINDS.items()
        if not _is(_find(content, key), kind)
    ]
    if faults:
        # Of a part that is not there, the parts are not worth a word.
        raise RuntimeError(_refusal(path, faults[0]))
    return content


def require_state_of_run(checkpoint: Mapping, runner: Runner, path: str) -> None:
    """Check that a checkpoint has the state of a run's optimizer and schedule.

    mmengine begins anew, without a word, what a checkpoint lacks of them.

    Args:
        checkpoint: What was loaded.
        runner: With its optimizer and schedule built.
        path: How the message calls the checkpoint.

    Raises:
        RuntimeError: Naming the file and the key that is missing, or not that of this run.
    """
    fault = next(_faults(checkpoint, runner), None)
    if fault:
        raise RuntimeError(_refusal(path, fault))


def _refusal(path: str | Path, fault: str) -> str:
    return f"checkpoint {path} is not one that training can go on from: {fault}. {WAY_ON}"


def _find(content: Any, key: str) -> Any:
    for part in key.split("."):
        content = content.get(part) if isinstance(content, Mapping) else None
    return content


def _is(value: Any, kind: type) -> bool:
    if kind is int:
        return type(value) is int and 0 <= value < _LONGEST
    return isinstance(value, kind)


def _faults(checkpoint: Mapping, runner: Runner) -> Iterator[str]:
    iteration = _find(checkpoint, "meta.iter") or 0
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


def _optimizer_faults(state: Any, wrapper: OptimWrapper, key: str, iteration: int) -> Iterator[str]:
    ours = wrapper.optimizer.param_groups
    theirs = _find(state, "param_groups")
    moments = _find(state, "state")
    if not (isinstance(theirs, list) and isinstance(moments, Mapping)):
        yield f"{key} has no param_groups and state"
        return
    if len(theirs) != len(ours):
        yield f"{key} has {len(theirs)} groups of parameters, and this run has {len(ours)}"
        return
    for number, (group, own) in enumerate(zip(theirs, ours, strict=True)):
        where = f"{key}.param_groups.{number}"
        numbers = group.get("params") if isinstance(group, Mapping) else None
        if not isinstance(numbers, list) or len(numbers) != len(own["params"]):
            yield f"{where} is of other parameters than this run's"
            return
        lr = group.get("lr")
        if not _is_rate(lr):
            yield f"{where}.lr is {lr!r}, and not a number of at least 0"
        for index, parameter in zip(numbers, own["params"], strict=True):
            yield from _moment_faults(moments.get(index), parameter, f"{key}.state.{index}")
    if iteration and not moments and _keeps_moments(wrapper.optimizer):
        yield f"{key}.state is empty after {iteration} iterations"


def _is_rate(value: Any) -> bool:
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        value = value.item()
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value >= 0


def _moment_faults(moments: Any, parameter: torch.Tensor, where: str) -> Iterator[str]:
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
    """Whether an optimizer has a state after its first step: plain SGD has none."""
    return any(group.get("betas") or group.get("momentum") for group in optimizer.param_groups)


def _scheduler_faults(theirs: Any, ours: Any, key: str) -> Iterator[str]:
    if isinstance(ours, Mapping):  # several optimizers have their own
        for name, schedulers in ours.items():
            yield from _scheduler_faults(_find(theirs, name), schedulers, f"{key}.{name}")
        return
    if not isinstance(theirs, list):
        yield f"{key} is not a list"
    elif len(theirs) != len(ours):
        yield f"{key} has {len(theirs)} schedules, and this run has {len(ours)}"
    else:
        for number, state in enumerate(theirs):
            if not (isinstance(state, Mapping) and _is(state.get("last_step"), int)):
                yield f"{key}.{number} has no last_step"
