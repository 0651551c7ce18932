"""Set the precision of a training."""

from __future__ import annotations

import torch
from mmengine.config import Config, ConfigDict

from convnext_dense.config.state import Plan


def set_precision(plan: Plan) -> Plan:
    """Apply ``amp``, and adapt a recipe with mixed precision if there is no CUDA."""
    cfg = plan.copy_config()
    return plan.changed(cfg, *use_precision(cfg, plan.options.amp))


def use_precision(cfg: Config, amp: str | None) -> list[str]:
    """Set the precision of a config for the device of this machine.

    Args:
        cfg: Changed in place: ``optim_wrapper``.
        amp: ``float16``, ``bfloat16`` or None for the config's precision.

    Returns:
        Notes about settings that do not apply here.
    """
    wrapper = cfg.optim_wrapper
    if torch.cuda.is_available():
        if amp:
            wrapper.type = "AmpOptimWrapper"
            wrapper.dtype = amp
        return []
    was_amp = wrapper.get("type") == "AmpOptimWrapper"
    _drop_settings_of_amp(wrapper)
    if amp:
        wrapper.type = "CpuAmpOptimWrapper"
        if amp == "float16":
            return ["no CUDA: autocast runs in bfloat16, since the CPU's float16 is no faster"]
    elif was_amp:
        wrapper.type = "OptimWrapper"
        return ["no CUDA: training in float32 (the recipe says mixed precision; see `amp`)"]
    return []


def use_float32(cfg: Config) -> None:
    """Let a config compute in float32 on any device; its ``optim_wrapper`` is changed in place."""
    cfg.optim_wrapper.type = "OptimWrapper"
    _drop_settings_of_amp(cfg.optim_wrapper)


def _drop_settings_of_amp(wrapper: ConfigDict) -> None:
    for key in ("dtype", "loss_scale", "use_fsdp"):
        wrapper.pop(key, None)
