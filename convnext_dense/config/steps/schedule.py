"""Set the length of a training, and scale all that follows it."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping

from mmengine.config import Config, ConfigDict

from convnext_dense.config.checks.values import check_sections
from convnext_dense.config.compare_configs import ABSENT, config_differences
from convnext_dense.config.options import AUTO
from convnext_dense.config.schedule.count import (
    count_images,
    iterations_if_there,
    iterations_per_epoch,
)
from convnext_dense.config.schedule.length import Length, Scaling, read_length
from convnext_dense.config.schedule.schedulers import scale_schedulers
from convnext_dense.config.schedule.stages import (
    CHECKPOINT_HOOKS,
    OF_MODELS,
    hooks,
    read_endlessly,
    scale_hooks,
    scale_loop,
    scale_model,
)
from convnext_dense.config.state import Plan
from convnext_dense.config_tree import type_name, value_at

# The parts of a config that are scaled, in the order in which their changes are said.
_SCALED = (
    "train_cfg",
    r"param_scheduler(\.\w+)*",
    r"(default|custom)_hooks\.\w+",
    r"model(\.\w+)*",
)
# What the first line says by itself, or nobody has to know.
_LOOP = r"train_cfg\.(type|by_epoch|max_\w+)"
_UNSAID = _LOOP + r"|default_hooks\.logger\..*|.*\.(by_epoch|convert_to_iter_based)"
_LENGTHS = ("train_cfg.max_epochs", "train_cfg.max_iters")


def set_schedule(plan: Plan) -> Plan:
    """Apply ``epochs`` or ``iters``, then ``val_every``.

    Values that ``cfg_options`` set are not scaled; of two lengths or intervals these options win.

    Raises:
        FileNotFoundError: If epochs become iterations and the data is missing.
        ValueError: If the config has no length or no validation, or a part of it cannot be scaled.
    """
    asked = plan.options
    if asked.epochs is None and asked.iters is None and asked.val_every is None:
        return plan
    cfg = plan.copy_config()
    check_sections(cfg, ("train_dataloader", "train_cfg", "optim_wrapper", "model"))
    notes = _set_length(cfg, plan) if asked.epochs or asked.iters else []
    if asked.val_every is not None:
        notes += _set_validation(cfg, asked.val_every, plan.replaced)
    if asked.batch_size == AUTO:
        notes = []  # the run is planned again, with the batch that fits
    return plan.changed(cfg, *notes)


def _set_length(cfg: Config, plan: Plan) -> list[str]:
    asked = plan.options
    name, steps = ("epochs", asked.epochs) if asked.epochs else ("iters", asked.iters)
    assert steps is not None
    option = f"`{name}={steps}`"
    notes = []
    for key in _LENGTHS:
        if key in plan.replaced:
            given = asked.cfg_options[key]
            notes.append(f"{option} wins over {key}={given} of `cfg_options`")
            _put_back(cfg, key.rpartition(".")[2], plan.replaced[key])
    before = copy.deepcopy(cfg)
    old = read_length(cfg)
    scaling, why = _scaling(cfg, old, steps, by_epoch=name == "epochs")
    try:
        said = scale_schedulers(cfg, scaling)
        said += scale_hooks(cfg, scaling)
        scale_model(cfg, scaling)
    except ValueError as error:
        raise ValueError(f"{option}: {error}") from error
    scale_loop(cfg, scaling)
    if old.by_epoch and not scaling.new.by_epoch:
        read_endlessly(cfg)
    cfg.merge_from_dict({key: asked.cfg_options[key] for key in plan.replaced if _is_kept(key)})
    counts = ""
    if old.by_epoch and not scaling.new.by_epoch:
        counts = "it counts iterations, draws images without end, and "
    what = f"{option}: {why}, the config has {old}; {counts}what follows the length is scaled"
    changes = [f"{option}: {change}" for change in _changes(before, cfg)]
    return [*notes, what, *changes, *(f"{option}: {one}" for one in said)]


def _scaling(cfg: Config, old: Length, steps: int, by_epoch: bool) -> tuple[Scaling, str]:
    """Return the change of the length, and how it came about."""
    new = Length(steps, by_epoch)
    if by_epoch and not old.by_epoch:
        images = count_images(cfg)
        per_epoch = iterations_per_epoch(cfg, images)
        new = Length(steps * per_epoch, by_epoch=False)
        why = f"{new}, {per_epoch} for each epoch of {images} images"
        return Scaling(old, new, per_epoch), why
    counted = iterations_if_there(cfg) if old.by_epoch else None
    why = f"the run has {new}"
    if counted and not by_epoch:
        why += f", {steps / counted:.3g} epochs of {counted}"
    return Scaling(old, new, counted), why


def _put_back(cfg: Config, name: str, value: object) -> None:
    """Set a length to the config's own value, which the schedulers are made for."""
    if value is None:
        cfg.train_cfg.pop(name)
    else:
        cfg.train_cfg[name] = value


def _is_kept(key: str) -> bool:
    """Whether a key of ``cfg_options`` is one of those that are scaled, and stays as it was set."""
    parent, _, name = key.rpartition(".")
    if parent.partition(".")[0] == "model":
        return name in OF_MODELS
    return any(re.match(part, key) for part in _SCALED) and not re.fullmatch(_LOOP, key)


def _set_validation(cfg: Config, every: int, replaced: Mapping[str, object]) -> list[str]:
    """Set the interval of validations, and write checkpoints at least as often."""
    option, key = f"`val_every={every}`", "train_cfg.val_interval"
    if not cfg.get("val_cfg") or not cfg.get("val_dataloader"):
        raise ValueError(f"{option}: the config has no validation")
    length = read_length(cfg)
    notes = []
    if key in replaced:
        given = cfg.train_cfg.get("val_interval")
        notes.append(f"{option} wins over {key}={given} of `cfg_options`")
    cfg.train_cfg.val_interval = every
    cfg.train_cfg.pop("dynamic_intervals", None)
    if cfg.train_cfg.get("val_begin", 1) > every:
        cfg.train_cfg.val_begin = every
    for _, hook in hooks(cfg):
        own_unit = hook.get("by_epoch", True) == length.by_epoch
        if type_name(hook) in CHECKPOINT_HOOKS and own_unit and hook.get("interval", -1) > every:
            hook.interval = every
    note = f"{option}: a validation every {Length(every, length.by_epoch)}, and after the last"
    if every > length.steps:
        note = f"{option}: the run has {length}, so there is one validation, at its end"
    return [*notes, note]


def _changes(before: Config, after: Config) -> list[str]:
    """Describe what differs between two configs, in one line for each scaled part."""
    lines: dict[str, list[str]] = {}
    for change in config_differences([before, after]):
        was, now = change.values
        for key in change.keys:
            if re.fullmatch(_UNSAID, key):
                continue
            parent, _, name = key.rpartition(".")
            text = f"{name} {was} -> {now}"
            if was == ABSENT:
                text = f"{name} {now}"
            elif now == ABSENT:
                text = f"no {name}"
            lines.setdefault(parent, []).append(text)
    return [
        f"{_label(after, key)}: {', '.join(lines[key])}"
        for part in _SCALED
        for key in lines
        if re.fullmatch(part, key)
    ]


def _label(cfg: Config, key: str) -> str:
    """Return the type of a dict in a config, if it has one, and its key."""
    node = value_at(cfg._cfg_dict, key)
    if isinstance(node, ConfigDict) and "type" in node:
        return f"{type_name(node)} ({key})"
    return key
