"""Set where the random numbers of a training begin."""

from __future__ import annotations

from convnext_dense.config.state import Plan


def set_randomness(plan: Plan) -> Plan:
    """Apply ``seed`` and, as far as a config says it, ``deterministic``.

    Raises:
        ValueError: Where numpy takes no such seed.
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
