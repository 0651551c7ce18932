"""Set the seed of a training."""

from __future__ import annotations

from convnext_dense.config.state import Plan


def set_randomness(plan: Plan) -> Plan:
    """Apply ``seed``, and the part of ``deterministic`` that a config can state.

    Raises:
        ValueError: If numpy does not accept the seed.
    """
    seed = plan.options.seed
    cfg = plan.copy_config()
    if seed is not None:
        if not 0 <= seed < 2**32:
            raise ValueError(f"`seed` is from 0 to 2**32 - 1, got {seed}")
        cfg.randomness = dict(seed=seed)
    if plan.options.deterministic:
        cfg.setdefault("env_cfg", {})["cudnn_benchmark"] = False
    return plan.changed(cfg)
