"""Freeze stages of the backbone."""

from __future__ import annotations

import contextlib

from mmengine.config import Config, ConfigDict
from torch import nn

from convnext_dense.analysis.meta_device import build_without_data
from convnext_dense.config.checks.signatures import arguments_of_type
from convnext_dense.config.options import ALL
from convnext_dense.config.state import Plan
from convnext_dense.config.steps.weights import initial_weights
from convnext_dense.config_tree import find_backbone
from convnext_dense.patches import enable

_KEY = "frozen_stages"
# More stages than any backbone has.
_ENDLESS = 64


def set_freeze(plan: Plan) -> Plan:
    """Set ``frozen_stages`` of the backbone to ``freeze``, or to the most that it takes.

    Raises:
        ValueError: If the backbone freezes no stages, or not so many.
    """
    asked = plan.options.freeze
    if asked is None:
        return plan
    if asked != ALL and type(asked) is not int:
        raise ValueError(f"`freeze` is a number of stages or {ALL!r}, got {asked!r}")
    cfg = plan.copy_config()
    backbone = find_backbone(cfg.model)
    if backbone is None:
        raise ValueError(f"`freeze`: the model {cfg.model.get('type')} has no key backbone")
    known = arguments_of_type(backbone.type, backbone.get("_scope_") or cfg.get("default_scope"))
    if known is not None and not known.is_open and _KEY not in known.names:
        raise ValueError(f"`freeze`: the backbone {backbone.type} has no {_KEY}")
    enable()
    if asked == ALL:
        backbone[_KEY], left = _most(cfg, backbone)
    elif isinstance(asked, int) and asked >= -1 and _takes(cfg, backbone, asked):
        backbone[_KEY], left = asked, 0
    else:
        least, (most, _) = -_takes(cfg, backbone, -1), _most(cfg, backbone)
        raise ValueError(
            f"`freeze={asked}`: the backbone {backbone.type} takes {least} to {most}, or {ALL!r} "
            f"for {most}"
        )
    notes = [_trained(cfg)]
    if left:
        notes.append(
            f"{left:,} of them in the backbone, which freezes no more than {backbone[_KEY]} stages"
        )
    loads = initial_weights(cfg) or cfg.get("load_from") or plan.options.resume
    if backbone[_KEY] >= 0 and not loads:
        notes.append("the frozen stages have no weights and stay random")
    return plan.changed(cfg, *(f"`freeze={asked!r}`: {note}" for note in notes))


def _build(cfg: Config, backbone: ConfigDict, stages: int) -> nn.Module:
    """Build a backbone that freezes so many stages; some freeze them in training mode alone."""
    part = dict(model=dict(backbone, **{_KEY: stages}), default_scope=cfg.get("default_scope"))
    return _in_training(Config(part))


def _in_training(cfg: Config) -> nn.Module:
    model = build_without_data(cfg)
    model.train()
    return model


def _takes(cfg: Config, backbone: ConfigDict, stages: int) -> bool:
    """Whether a backbone can freeze so many stages."""
    with contextlib.suppress(Exception):  # each backbone has its own error
        _build(cfg, backbone, stages)
        return True
    return False


def _most(cfg: Config, backbone: ConfigDict) -> tuple[int, int]:
    """Return the most stages that a backbone can freeze, and the parameters that it trains then."""
    left = 0
    for stages in range(_ENDLESS):
        try:
            net = _build(cfg, backbone, stages)
        except Exception as error:
            if stages == 0:
                raise ValueError(
                    f"`freeze`: the backbone {backbone.type} cannot be built with {_KEY}: {error}"
                ) from error
            return stages - 1, left
        left = sum(p.numel() for p in net.parameters() if p.requires_grad)
        if left == 0:
            break
    return stages, left


def _trained(cfg: Config) -> str:
    """Say how many of a model's parameters are trained."""
    sizes = [(p.numel(), p.requires_grad) for p in _in_training(cfg).parameters()]
    trained = sum(size for size, trains in sizes if trains)
    return f"{trained:,} of {sum(size for size, _ in sizes):,} parameters train"
