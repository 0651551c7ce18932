"""Set the learning rate of a training."""

from __future__ import annotations

import math
from collections.abc import Iterator

from mmengine.config import Config, ConfigDict

from convnext_dense.config.checks.values import check_sections
from convnext_dense.config.schedule.schedulers import schedulers
from convnext_dense.config.state import Plan
from convnext_dense.config_tree import type_name, value_at

# Arguments of schedulers that are learning rates, not factors.
_RATES = ("eta_min", "eta_max", "min_value")


def set_learning_rate(plan: Plan) -> Plan:
    """Apply ``lr``: the optimizer's base rate, and the rates at which schedulers end.

    The rates of single parameters follow, since ``paramwise_cfg`` states factors of the base rate.

    Raises:
        ValueError: If the config has optimizers of different rates.
    """
    lr = plan.options.lr
    if lr is None:
        return plan
    cfg = plan.copy_config()
    check_sections(cfg, ("optim_wrapper",))
    option = f"`lr={lr:g}`"
    found = list(_optimizers(cfg))
    if not found:
        raise ValueError(f"{option}: optim_wrapper has no optimizer")
    notes = []
    for path, optimizer in found:
        if f"{path}.lr" in plan.replaced:
            notes.append(f"{option} wins over {path}.lr={optimizer.lr} of `cfg_options`")
            optimizer["lr"] = plan.replaced[f"{path}.lr"]
    rates = {optimizer.get("lr") for _, optimizer in found}
    if len(rates) > 1:
        listed = ", ".join(f"{path}.lr={optimizer.get('lr')}" for path, optimizer in found)
        raise ValueError(
            f"{option}: the config has optimizers of different rates: {listed}. Set them by "
            "`cfg_options`"
        )
    old = rates.pop()
    notes.append(f"{option}: {_was(old)}")
    for _, optimizer in found:
        optimizer["lr"] = lr
    for key, node in schedulers(cfg):
        for name in _RATES:
            if node.get(name) and _is_of_rates(node):
                notes += _scale_rate(f"{key}.{name}", node, name, lr, old, plan, option)
    return plan.changed(cfg, *notes)


def _is_of_rates(scheduler: ConfigDict) -> bool:
    """Whether a scheduler sets learning rates, and not momentums."""
    return type_name(scheduler).endswith(("LR", "Ratio")) or scheduler.get("param_name") == "lr"


def _was(old: float | None) -> str:
    return "the config states no learning rate" if old is None else f"the config has {old:g}"


def _optimizers(cfg: Config) -> Iterator[tuple[str, ConfigDict]]:
    """Yield the optimizers of a config with their dotted keys."""
    wrapper: ConfigDict = cfg.optim_wrapper
    one = wrapper.get("optimizer")
    if isinstance(one, ConfigDict):
        yield "optim_wrapper.optimizer", one
        return
    for name in wrapper:
        optimizer = value_at(wrapper, f"{name}.optimizer")
        if isinstance(optimizer, ConfigDict):
            yield f"optim_wrapper.{name}.optimizer", optimizer


def _scale_rate(
    key: str, node: ConfigDict, name: str, lr: float, old: float | None, plan: Plan, option: str
) -> list[str]:
    if key in plan.options.cfg_options:
        return [f"{option}: {key} stays {node[name]:g}, as `cfg_options` set it"]
    if old is None:
        raise ValueError(f"{option}: {key}={node[name]:g} cannot follow, since {_was(old)}")
    was = node[name]
    scaled = [_times(one, lr, old) for one in was] if isinstance(was, list | tuple) else None
    node[name] = _times(was, lr, old) if scaled is None else scaled
    return [f"{option}: {key} {was} -> {node[name]}"]


def _times(rate: float, lr: float, old: float) -> float:
    # Twelve digits, so that ten times 1e-5 is 1e-4 and not 0.00010000000000000002.
    scaled = rate * lr / old
    return float(f"{scaled:.12g}") if math.isfinite(scaled) else scaled
