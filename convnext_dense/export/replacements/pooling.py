"""Adaptive pooling of maps of any size as two products with matrices.

ONNX has pooling over windows of one size only, and those of adaptive pooling differ by one where
the numbers do not divide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from convnext_dense.export.replacements.replace import replaces
from convnext_dense.export.replacements.sizes import Size


def window_averages(length: Size, windows: int) -> Tensor:
    """Return the matrix whose row i averages window i of adaptive pooling: (windows, length)."""
    window = torch.arange(windows)[:, None]
    start = window * length // windows
    end = ((window + 1) * length + windows - 1) // windows
    place = torch.arange(length)
    return ((place >= start) & (place < end)).float() / (end - start)


def pool_by_products(x: Tensor, output_size: int | Sequence[int | None] | None) -> Tensor:
    """Return ``adaptive_avg_pool2d(x, output_size)`` of maps (N, C, H, W), to 1e-6."""
    if output_size is None or isinstance(output_size, int):
        output_size = (output_size, output_size)
    height, width = output_size
    if height is not None:
        x = window_averages(x.shape[2], height).to(x) @ x
    if width is not None:
        x = x @ window_averages(x.shape[3], width).to(x).T
    return x


@replaces("torch.nn.functional:adaptive_avg_pool2d")
def adaptive_avg_pool2d(
    original: Callable, input: Tensor, output_size: int | Sequence[int | None] | None
) -> Tensor:
    """Return the pooled maps; by products only where the size is not known."""
    if not torch.jit.is_tracing() or output_size in (1, (1, 1), [1, 1]):
        return original(input, output_size)
    return pool_by_products(input, output_size)
