"""Change what follows the length of a training: loop, loader, and stages of hooks and models."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mmengine.config import Config, ConfigDict

from convnext_dense.config.schedule.length import Scaling, nearest
from convnext_dense.config_tree import type_name, walk

CHECKPOINT_HOOKS = ("CheckpointHook", "DurableCheckpointHook")
# Log lines that a short run has at least.
_LINES = 10
# The argument of a hook of mmdet that counts back from the end of the run, and its default.
_LAST, _LAST_EPOCHS = "num_last_epochs", 15
# Arguments of hooks that are places in the run, and whether they count epochs.
_OF_HOOKS = {
    "EMAHook": {"begin_epoch": True, "begin_iter": False},
    "PipelineSwitchHook": {"switch_epoch": True},
    "StopAugmentingHook": {"switch_epoch": True},
    "YOLOXModeSwitchHook": {_LAST: True},
}
# Values with which a hook of epochs switches when the only epoch of a loop of iterations begins.
_AT_ONCE = {
    "PipelineSwitchHook": {"switch_epoch": 0},
    "StopAugmentingHook": {"switch_epoch": 0},
    "YOLOXModeSwitchHook": {_LAST: 1},
}
# Arguments of models, at any depth. TOODHead changes its assigner, the others warm up a loss or a
# probability.
OF_MODELS = {"initial_epoch": True, "warmup_iters": False}
# Classes of mmdet whose default follows the published length.
_DEFAULTS = {"BoxInstMaskHead": ("warmup_iters", 10000)}
# Hooks that pass the epoch of the run on.
_BY_EPOCH_ALONE = ("SetEpochInfoHook",)
_EPOCHS_NEEDED = "this run would count iterations, so give its length in `epochs`"
_KNOWN = {*_OF_HOOKS, *CHECKPOINT_HOOKS, "LoggerHook"}


def scale_loop(cfg: Config, scaling: Scaling) -> None:
    """Set the length in a config's ``train_cfg``, and scale its validation intervals, in place."""
    loop, by_epoch = cfg.train_cfg, scaling.old.by_epoch
    if scaling.old.by_epoch != scaling.new.by_epoch:
        loop["type"] = "IterBasedTrainLoop"
        loop.pop("max_epochs")
    if "type" in loop:
        loop.pop("by_epoch", None)  # mmengine refuses both
    loop["max_epochs" if scaling.new.by_epoch else "max_iters"] = scaling.new.steps
    # The loop's own default is an epoch, or 1000 iterations.
    interval = loop.get("val_interval", 1 if by_epoch else 1000)
    loop["val_interval"] = scaling.interval(interval, by_epoch)
    first = loop.get("val_begin", 1)
    if first > 1:
        last = scaling.new.steps
        scaled = max(1, nearest(first * scaling.of_epochs))
        # One after the end stays there: it means that the run has no validation.
        loop["val_begin"] = max(scaled, last + 1) if first > scaling.old.steps else scaled
    if loop.get("dynamic_intervals"):
        changes: dict[int, int] = {}
        for milestone, interval in loop.dynamic_intervals:
            place = max(1, nearest(milestone * scaling.of_epochs)) if milestone else 0
            changes[place] = scaling.interval(interval, by_epoch)  # the last change counts
        loop["dynamic_intervals"] = list(changes.items())


def read_endlessly(cfg: Config) -> None:
    """Make the loader and the log of a config of epochs those of a run that counts iterations.

    A sampler of another kind than mmengine's ``DefaultSampler`` stays, and starts again at its end.

    Args:
        cfg: Changed in place: ``train_dataloader`` and ``log_processor``.
    """
    sampler = cfg.train_dataloader.get("sampler") or {}
    if type_name(sampler) == "DefaultSampler":
        endless = {key: sampler[key] for key in ("shuffle", "seed") if key in sampler}
        cfg.train_dataloader.sampler = dict(type="InfiniteSampler", **endless)
    cfg.log_processor = dict(cfg.get("log_processor") or {}, by_epoch=False)


def scale_hooks(cfg: Config, scaling: Scaling) -> list[str]:
    """Scale the intervals of checkpoints, and the places where hooks begin or switch something.

    Args:
        cfg: Changed in place: ``default_hooks`` and ``custom_hooks``.
        scaling: The change of the length.

    Returns:
        Notes about arguments of other hooks that stay as they are.

    Raises:
        ValueError: If a hook of epochs has no form for a run of iterations, or
            ``default_hooks.param_scheduler`` is a schedule of its own.
    """
    notes = []
    for key, hook in hooks(cfg):
        name = type_name(hook)
        if key == "default_hooks.param_scheduler" and name != "ParamSchedulerHook":
            raise ValueError(
                f"{key} is a {name}, a schedule of its own that cannot be scaled to another length"
            )
        if name in CHECKPOINT_HOOKS:
            _scale_checkpoints(hook, scaling)
        elif name == "LoggerHook":
            _scale_log(hook, scaling)
        if name not in _KNOWN:
            left = [arg for arg in hook if re.search("epoch|iter", arg)]
            notes += [f"{key}.{arg}={hook[arg]!r} of {name} stays as it is" for arg in left]
        for argument, by_epoch in _OF_HOOKS.get(name, {}).items():
            _scale_argument(hook, argument, by_epoch, scaling)
        if scaling.old.by_epoch and not scaling.new.by_epoch:
            _count_iterations(key, hook, scaling)
    return notes


def hooks(cfg: Config) -> Iterator[tuple[str, ConfigDict]]:
    """Yield the hooks of a config with their dotted keys."""
    for name, hook in (cfg.get("default_hooks") or {}).items():
        if isinstance(hook, dict):
            yield f"default_hooks.{name}", hook
    for index, hook in enumerate(cfg.get("custom_hooks") or ()):
        if isinstance(hook, dict):
            yield f"custom_hooks.{index}", hook


def scale_model(cfg: Config, scaling: Scaling) -> None:
    """Scale the stages that a config's ``model`` counts itself, in place.

    Raises:
        ValueError: If it counts epochs, and the run iterations.
    """
    for path, node in walk(cfg.model, "model"):
        name, default = _DEFAULTS.get(type_name(node), ("", 0))
        if name:
            node.setdefault(name, default)
        for argument, by_epoch in OF_MODELS.items():
            if not isinstance(node.get(argument), int):
                continue
            if by_epoch and not scaling.new.by_epoch and scaling.old.by_epoch:
                raise ValueError(
                    f"{path}.{argument}={node[argument]} counts epochs: {_EPOCHS_NEEDED}"
                )
            _scale_argument(node, argument, by_epoch, scaling)


def _scale_checkpoints(hook: ConfigDict, scaling: Scaling) -> None:
    by_epoch = hook.get("by_epoch", True)
    if by_epoch and not scaling.old.by_epoch:
        return  # once at the end of the run
    hook["interval"] = scaling.interval(hook.get("interval", -1), by_epoch)
    if hook.get("save_begin"):
        factor = scaling.of_epochs if by_epoch else scaling.of_iterations
        hook["save_begin"] = nearest(hook.save_begin * factor)
    if scaling.old.by_epoch != scaling.new.by_epoch:
        hook["by_epoch"] = False


def _scale_log(hook: ConfigDict, scaling: Scaling) -> None:
    interval = hook.get("interval", 10)
    if scaling.iterations and interval > 0:
        hook["interval"] = min(interval, max(1, scaling.iterations // _LINES))
    if scaling.old.by_epoch != scaling.new.by_epoch:
        hook["log_metric_by_epoch"] = False


def _scale_argument(node: ConfigDict, argument: str, by_epoch: bool, scaling: Scaling) -> None:
    if argument == _LAST:
        # As a place, so that it stays together with a scheduler that changes there.
        last = node.get(argument, _LAST_EPOCHS)
        place = nearest((scaling.old.steps - last) * scaling.of_epochs)
        node[argument] = max(scaling.new.steps - place, min(last, 1))
    elif node.get(argument):
        factor = scaling.of_epochs if by_epoch else scaling.of_iterations
        node[argument] = max(1, nearest(node[argument] * factor))


def _count_iterations(key: str, hook: ConfigDict, scaling: Scaling) -> None:
    """Make a hook of epochs one of iterations, in a run that counts these instead.

    Raises:
        ValueError: If it has no such form.
    """
    name = type_name(hook)
    if name in _BY_EPOCH_ALONE:
        raise ValueError(f"{key} is a {name}, which counts epochs: {_EPOCHS_NEEDED}")
    if hook.get("begin_epoch") and name == "EMAHook":
        hook["begin_iter"] = hook.pop("begin_epoch")
    for argument, at_once in _AT_ONCE.get(name, {}).items():
        place = hook[argument]
        if argument == _LAST:
            place = scaling.new.steps - place
        inner = {key: value for key, value in hook.items() if key != "priority"}
        for key in inner:
            hook.pop(key)
        inner[argument] = at_once
        hook.update(type="SwitchAtIterHook", iteration=place, hook=inner)
