"""The three precisions that are compared."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def parameter_dtype(name: str) -> torch.dtype:
    """Return the type of weights and input: ``bf16`` casts them, ``amp`` leaves them in float32."""
    return torch.bfloat16 if name == "bf16" else torch.float32


def matrix_dtype(name: str) -> torch.dtype:
    """Return the type in which matrix products run."""
    return torch.float32 if name == "fp32" else torch.bfloat16


def autocast(name: str, device: torch.device) -> AbstractContextManager:
    """Return the context of a forward pass."""
    return torch.autocast(device.type, torch.bfloat16) if name == "amp" else nullcontext()
