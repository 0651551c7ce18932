"""Automatic mixed precision on the CPU.

Fault: mmengine 0.10.7's ``AmpOptimWrapper`` needs a GPU when it is constructed, although torch
supports bfloat16 autocast on the CPU.
Reach: configs that name ``CpuAmpOptimWrapper``, as those of runs with mixed precision on a CPU.
Off-switch: none is needed; nothing changes where no config names it.
End: when mmengine drops the assertion.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import nn


class CpuAmpOptimWrapper(OptimWrapper):
    """An optimizer wrapper whose forward pass runs under bfloat16 autocast on the CPU.

    bfloat16 has the range of float32, so that the loss needs no scaling.

    Args:
        dtype: ``bfloat16``, the only one.
        **kwargs: As for mmengine's ``OptimWrapper``.

    Raises:
        ValueError: On another dtype.
    """

    def __init__(self, dtype: str = "bfloat16", **kwargs: Any) -> None:
        if dtype != "bfloat16":
            raise ValueError(f"mixed precision on the CPU is bfloat16, got dtype={dtype!r}")
        super().__init__(**kwargs)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the forward pass under autocast, besides what the base class does."""
        with super().optim_context(model), torch.autocast("cpu", dtype=torch.bfloat16):
            yield
