"""Where the branch of a block meets its shortcut: layer scale, stochastic depth and the sum."""

# Triton reads a kernel's annotations itself, so they stay objects; types it takes from the call.
# ruff: noqa: ANN001

import torch
import triton
import triton.language as tl
from torch import Tensor

from convnext_dense.kernels.triton.launch import cdiv, column_tile, strips


def add_branch(
    shortcut: Tensor, branch: Tensor, bias: Tensor, gamma: Tensor | None, scale: float
) -> Tensor:
    """Return ``shortcut + scale * gamma * (branch + bias)``, summed in float32.

    Args:
        shortcut: (rows, C), contiguous.
        branch: (rows, C), contiguous: a product whose bias is still to come.
        bias: (C,).
        gamma: Layer scale, (C,), or None for none.
        scale: What stochastic depth multiplies the branch with.

    Returns:
        (rows, C) in the type that shortcut, branch and layer scale promote to.
    """
    dtype = torch.promote_types(shortcut.dtype, branch.dtype)
    if gamma is not None:
        dtype = torch.promote_types(dtype, gamma.dtype)
    rows, channels = branch.shape
    out = torch.empty_like(branch, dtype=dtype)
    tile_rows, tile_columns = column_tile(channels)
    grid = (cdiv(rows, tile_rows), cdiv(channels, tile_columns))
    _add_branch[grid](
        shortcut, branch, bias, gamma, out, scale, rows, channels,
        GAMMA=gamma is not None, ROWS=tile_rows, COLUMNS=tile_columns,
    )  # fmt: skip
    return out


def scale_and_sum(
    grad: Tensor, gamma: Tensor | None, scale: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return ``scale * gamma * grad`` in ``dtype``, and its sum over the rows in float32.

    Args:
        grad: (rows, C), contiguous.
        gamma: As in :func:`add_branch`, like ``scale``.
        dtype: Type of the first result. The product is made in float32 before the cast.
    """
    rows, channels = grad.shape
    out = torch.empty_like(grad, dtype=dtype)
    tile_rows, tile_columns = column_tile(channels)
    columns = cdiv(channels, tile_columns)
    count, strip_rows = strips(rows, tile_rows, columns)
    partial = grad.new_empty((count, channels), dtype=torch.float32)
    _scale_and_sum[(count, columns)](
        grad, gamma, out, partial, scale, rows, strip_rows, channels,
        GAMMA=gamma is not None, ROWS=tile_rows, COLUMNS=tile_columns,
    )  # fmt: skip
    return out, partial.sum(0)


@triton.jit(do_not_specialize=["rows"])
def _add_branch(
    shortcut, branch, bias, gamma, out, scale, rows, channels,
    GAMMA: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    c = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    in_c = c < channels
    inside = (row < rows)[:, None] & in_c[None, :]
    at = row.to(tl.int64)[:, None] * channels + c[None, :]
    total = tl.load(branch + at, mask=inside, other=0.0).to(tl.float32)
    total += tl.load(bias + c, mask=in_c, other=0.0).to(tl.float32)[None, :]
    total *= scale
    if GAMMA:
        total *= tl.load(gamma + c, mask=in_c, other=0.0).to(tl.float32)[None, :]
    total += tl.load(shortcut + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + at, total, mask=inside)


@triton.jit(do_not_specialize=["rows", "rows_per_strip"])
def _scale_and_sum(
    grad, gamma, out, partial, scale, rows, rows_per_strip, channels,
    GAMMA: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    c = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    in_c = c < channels
    factor = tl.zeros([COLUMNS], tl.float32) + scale
    if GAMMA:
        factor *= tl.load(gamma + c, mask=in_c, other=0.0).to(tl.float32)
    total = tl.zeros([ROWS, COLUMNS], tl.float32)
    start = tl.program_id(0) * rows_per_strip
    for first in range(start, tl.minimum(start + rows_per_strip, rows), ROWS):
        row = first + tl.arange(0, ROWS)[:, None]
        inside = (row < rows) & in_c[None, :]
        at = row.to(tl.int64) * channels + c[None, :]
        value = tl.load(grad + at, mask=inside, other=0.0).to(tl.float32) * factor[None, :]
        tl.store(out + at, value, mask=inside)
        total += value
    at = tl.program_id(0) * channels + c
    tl.store(partial + at, tl.sum(total, axis=0), mask=in_c)
