"""Mention the fast paths that are switched off on this machine."""

from __future__ import annotations

import torch

from convnext_dense.config.state import Plan
from convnext_dense.kernels.switched_off import (
    ENVIRONMENT,
    all_switched_off,
    kernels_file,
    switched_off,
)


def mention_kernels(plan: Plan) -> Plan:
    """Add a note about the kernels that are switched off.

    Raises:
        ValueError: If the variable of the environment or the file of the kernels makes no sense.
    """
    if all_switched_off():
        note = f"{ENVIRONMENT}=plain: every kernel is switched off, and plain torch runs"
        return plan.changed(plan.config, note)
    off = switched_off(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    if not off:
        return plan
    reasons = "; ".join(f"{kernel}, {why}" for kernel, why in off.items())
    note = f"{len(off)} kernels are switched off by {kernels_file()} ({reasons})"
    return plan.changed(plan.config, note)
