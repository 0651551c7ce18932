"""The exact GELU, computed again in the backward pass instead of stored."""

# Triton reads a kernel's annotations itself, so they stay objects; types it takes from the call.
# ruff: noqa: ANN001

import torch
import triton
import triton.language as tl
from torch import Tensor

from convnext_dense.kernels.triton.launch import cdiv, column_tile, strips


def gelu_backward_(hidden: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Turn the gradient of ``gelu(hidden)`` into that of ``hidden``, in place.

    Args:
        hidden: (rows, columns), contiguous.
        grad: Like ``hidden``; overwritten.

    Returns:
        ``gelu(hidden)`` in its type, and the new ``grad`` summed over the rows in float32.
    """
    rows, columns = hidden.shape
    activated = torch.empty_like(hidden)
    tile_rows, tile_columns = column_tile(columns)
    blocks = cdiv(columns, tile_columns)
    count, strip_rows = strips(rows, tile_rows, blocks)
    partial = hidden.new_empty((count, columns), dtype=torch.float32)
    _gelu_backward[(count, blocks)](
        hidden, grad, activated, partial, rows, strip_rows, columns,
        ROWS=tile_rows, COLUMNS=tile_columns,
    )  # fmt: skip
    return activated, partial.sum(0)


@triton.jit
def gelu_and_slope(x):  # noqa: ANN201
    """Return gelu(x) and its derivative for float32 tensors."""
    below = 0.5 + 0.5 * tl.math.erf(x * 0.7071067811865476)
    return x * below, below + x * 0.3989422804014327 * tl.exp(-0.5 * x * x)


@triton.jit(do_not_specialize=["rows", "rows_per_strip"])
def _gelu_backward(
    hidden, grad, activated, partial, rows, rows_per_strip, columns,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    c = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    in_c = c < columns
    total = tl.zeros([ROWS, COLUMNS], tl.float32)
    start = tl.program_id(0) * rows_per_strip
    for first in range(start, tl.minimum(start + rows_per_strip, rows), ROWS):
        row = first + tl.arange(0, ROWS)[:, None]
        inside = (row < rows) & in_c[None, :]
        at = row.to(tl.int64) * columns + c[None, :]
        value, slope = gelu_and_slope(tl.load(hidden + at, mask=inside, other=0.0).to(tl.float32))
        inner = tl.load(grad + at, mask=inside, other=0.0).to(tl.float32) * slope
        tl.store(activated + at, value, mask=inside)
        tl.store(grad + at, inner, mask=inside)
        total += inner
    at = tl.program_id(0) * columns + c
    tl.store(partial + at, tl.sum(total, axis=0), mask=in_c)
