"""The type that a part computes in: autocast's, or that of its input."""

from __future__ import annotations

import torch
from torch import Tensor


def compute_dtype(x: Tensor) -> torch.dtype:
    """Return the type that convolutions and products compute in: autocast's, or that of ``x``."""
    # Autocast leaves float64 alone.
    if x.dtype == torch.float64:
        return x.dtype
    return autocast_dtype(x.device.type) or x.dtype


def autocast_dtype(device: str) -> torch.dtype | None:
    """Return autocast's type on a kind of device, or None where it is off."""
    if device not in ("cpu", "cuda"):
        return None
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
