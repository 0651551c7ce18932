"""Threads that compute as the caller's thread would."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch


def same_autocast(device_type: str) -> Callable[[], torch.autocast]:
    """Return a context manager's constructor that applies this thread's autocast in another.

    torch keeps the setting per thread: a thread of a pool would compute in float32.

    Args:
        device_type: Where the other thread computes, such as ``cpu``.
    """
    return functools.partial(
        torch.autocast,
        device_type,
        dtype=torch.get_autocast_dtype(device_type),
        enabled=torch.is_autocast_enabled(device_type),
        cache_enabled=torch.is_autocast_cache_enabled(),
    )
