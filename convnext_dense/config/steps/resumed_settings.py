"""Keep the settings of a checkpoint in a run that is resumed with another config."""

from __future__ import annotations

from collections.abc import Iterable

from mmengine.config import Config

from convnext_dense.checkpoints.resumable import require_resumable
from convnext_dense.config.compare_configs import config_differences
from convnext_dense.config.plain_config import parse_plain_config
from convnext_dense.config.runner import config_of_runner
from convnext_dense.config.schedule.length import read_length
from convnext_dense.config.state import Plan
from convnext_dense.ranks import decided_by_rank_0

# Keys of a config whose values mmengine takes from a checkpoint's state, by the state's key.
_KEPT = {
    "optimizer": ("optim_wrapper.optimizer", "optim_wrapper.paramwise_cfg", "auto_scale_lr"),
    "param_schedulers": ("param_scheduler",),
}
# Other keys of a config that affect a training.
_EFFECTIVE = (
    *("model", "optim_wrapper", "custom_hooks", "default_hooks"),
    *("train_dataloader", "train_cfg", "val_dataloader", "val_cfg", "val_evaluator"),
)
# The initial weights. A resume with other weights is refused elsewhere.
_REFUSED = ("model.backbone.init_cfg",)
_SHOWN = 12


def keep_settings(plan: Plan) -> Plan:
    """Copy the settings that stay in effect after a resume into the config, and report differences.

    The optimizer with its learning rate, the schedule and the seed are part of a checkpoint's
    state, so other values in the config have no effect. The checkpoint's values replace them, so
    that the config that the run saves tells what was run. A checkpoint on the web is not read.

    Raises:
        RuntimeError: If training cannot be resumed from the checkpoint.
        ValueError: If ``epochs`` or ``iters`` ask for another length than the checkpoint's.
    """
    checkpoint = plan.checkpoint
    if checkpoint is None or "://" in checkpoint:
        return plan
    config, seed, states = decided_by_rank_0(lambda: _read(checkpoint))
    cfg = plan.copy_config()
    notes: list[str] = []
    kept = _keep_seed(cfg, seed)
    changed: list[str] = []
    try:
        if not config:
            raise ValueError(f"{checkpoint} has no meta.cfg")
        before = Config(parse_plain_config(config, f"{checkpoint}: meta.cfg"))
    except ValueError as error:
        notes.append(
            f"`resume`: settings are not compared: {error}. The learning rate, the schedule and "
            "the seed are the checkpoint's"
        )
    else:
        _refuse_other_length(plan, before)
        roots = [key for state in states for key in _KEPT[state]]
        for change in config_differences([before, config_of_runner(plan.changed(cfg))]):
            was, asked = change.values
            for key in change.keys:
                if _is_below(key, roots):
                    kept.append(f"{key} stays {was}, not {asked}")
                elif _is_below(key, _EFFECTIVE) and not _is_below(key, _REFUSED):
                    changed.append(f"{key} is {asked}, it was {was}")
        for key in roots:
            _copy(key, before, cfg)
    if kept:
        notes.append(
            "`resume`: without effect, since the checkpoint's optimizer, schedule and seed go on: "
            f"{_listed(kept)}. To change them begin a new run from its weights, by load_from"
        )
    if changed:
        notes.append(f"`resume`: with effect from here on: {_listed(changed)}")
    return plan.changed(cfg, *notes)


def _refuse_other_length(plan: Plan, before: Config) -> None:
    """Refuse to scale a schedule that resumes from a checkpoint's state, as it was."""
    asked = plan.options
    name = "epochs" if asked.epochs else "iters"
    if not (asked.epochs or asked.iters) or not before.get("train_cfg"):
        return
    was, now = read_length(before), read_length(plan.config)
    if was != now:
        raise ValueError(
            f"`{name}={getattr(asked, name)}`: the run has {now}, and the one to resume has {was}, "
            "for which its schedule was made. Resume it with its own length, or begin a new run "
            "from its weights, by load_from"
        )


def _read(checkpoint: str) -> tuple[str | None, int | None, list[str]]:
    """Return the config and the seed that a checkpoint was trained with, and what states it has."""
    content = require_resumable(checkpoint)
    config, seed = (content["meta"].get(key) for key in ("cfg", "seed"))
    return (
        config if isinstance(config, str) else None,
        seed if isinstance(seed, int) else None,
        [state for state in _KEPT if state in content],
    )


def _keep_seed(cfg: Config, seed: int | None) -> list[str]:
    asked = (cfg.get("randomness") or {}).get("seed")
    if seed is None or asked in (None, seed):
        return []
    cfg.randomness.seed = seed
    return [f"randomness.seed stays {seed}, not {asked}"]


def _is_below(key: str, roots: Iterable[str]) -> bool:
    return any(key == root or key.startswith(f"{root}.") for root in roots)


def _copy(key: str, source: Config, target: Config) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        source, target = source.get(parent) or {}, target[parent]
    if last in source:
        target[last] = source[last]
    elif last in target:
        target.pop(last)


def _listed(items: list[str]) -> str:
    more = [f"and {len(items) - _SHOWN} more"] if len(items) > _SHOWN else []
    return "; ".join([*items[:_SHOWN], *more])
