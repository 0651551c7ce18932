"""Layer norm over the last dimension, in one pass forward and one backward."""

# Triton reads a kernel's annotations itself, so they stay objects; types it takes from the call.
# ruff: noqa: ANN001

import torch
import triton
import triton.language as tl
from torch import Tensor

from convnext_dense.kernels.triton.launch import cdiv, next_power_of_2, row_tile, strips


def normalise(
    x: Tensor, weight: Tensor, bias: Tensor, eps: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise each row.

    Args:
        x: (..., C), contiguous.
        weight: (C,).
        bias: (C,).
        eps: Added to the variance.
        dtype: Type of the result; the norm is computed in float32.

    Returns:
        The result, shaped like ``x``; mean and 1 / deviation of each row in float32.
    """
    channels = x.shape[-1]
    rows = x.numel() // channels
    y = torch.empty_like(x, dtype=dtype)
    mean = x.new_empty(rows, dtype=torch.float32)
    rstd = torch.empty_like(mean)
    tile_rows = row_tile(channels)
    _layer_norm[(cdiv(rows, tile_rows),)](
        x, weight, bias, y, mean, rstd, rows, channels, eps,
        ROWS=tile_rows, BLOCK_C=next_power_of_2(channels),
    )  # fmt: skip
    return y, mean, rstd


def normalise_backward(
    x: Tensor, grad: Tensor, weight: Tensor, mean: Tensor, rstd: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute the gradients of :func:`normalise`.

    Args:
        x: As in :func:`normalise`, like ``weight``.
        grad: Gradient of its result.
        mean: What it gave, like ``rstd``.

    Returns:
        That of ``x`` in its type; and, float32 of shape (3, C), those of weight, of bias, and the
        first one summed over all rows.
    """
    channels = x.shape[-1]
    rows = x.numel() // channels
    grad_x = torch.empty_like(x)
    tile_rows = row_tile(channels)
    count, strip_rows = strips(rows, tile_rows, 1)
    partial = x.new_empty((count, 3, channels), dtype=torch.float32)
    _layer_norm_backward[(count,)](
        x, grad, weight, mean, rstd, grad_x, partial, rows, strip_rows, channels,
        ROWS=tile_rows, BLOCK_C=next_power_of_2(channels),
    )  # fmt: skip
    return grad_x, partial.sum(0)


@triton.jit(do_not_specialize=["rows"])
def _layer_norm(
    x, weight, bias, y, mean, rstd, rows, channels, eps,
    ROWS: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    c = tl.arange(0, BLOCK_C)
    in_row = row < rows
    in_c = c < channels
    inside = in_row[:, None] & in_c[None, :]
    at = row.to(tl.int64)[:, None] * channels + c[None, :]
    value = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    centre = tl.sum(value, axis=1) / channels
    value = tl.where(inside, value - centre[:, None], 0.0)
    scale = 1 / tl.sqrt(tl.sum(value * value, axis=1) / channels + eps)
    gain = tl.load(weight + c, mask=in_c, other=0.0).to(tl.float32)
    shift = tl.load(bias + c, mask=in_c, other=0.0).to(tl.float32)
    value = value * scale[:, None] * gain[None, :] + shift[None, :]
    tl.store(y + at, value, mask=inside)
    tl.store(mean + row, centre, mask=in_row)
    tl.store(rstd + row, scale, mask=in_row)


@triton.jit(do_not_specialize=["rows", "rows_per_strip"])
def _layer_norm_backward(
    x, grad, weight, mean, rstd, grad_x, partial, rows, rows_per_strip, channels,
    ROWS: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    c = tl.arange(0, BLOCK_C)
    in_c = c < channels
    gain = tl.load(weight + c, mask=in_c, other=0.0).to(tl.float32)[None, :]
    of_weight = tl.zeros([ROWS, BLOCK_C], tl.float32)
    of_bias = tl.zeros([ROWS, BLOCK_C], tl.float32)
    of_x = tl.zeros([ROWS, BLOCK_C], tl.float32)
    start = tl.program_id(0) * rows_per_strip
    for first in range(start, tl.minimum(start + rows_per_strip, rows), ROWS):
        row = first + tl.arange(0, ROWS)
        in_row = row < rows
        inside = in_row[:, None] & in_c[None, :]
        at = row.to(tl.int64)[:, None] * channels + c[None, :]
        value = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
        outer = tl.load(grad + at, mask=inside, other=0.0).to(tl.float32)
        centre = tl.load(mean + row, mask=in_row, other=0.0)
        scale = tl.load(rstd + row, mask=in_row, other=0.0)
        value = tl.where(inside, (value - centre[:, None]) * scale[:, None], 0.0)
        inner = outer * gain
        along = tl.sum(inner * value, axis=1) / channels
        level = tl.sum(inner, axis=1) / channels
        inner = (inner - level[:, None] - value * along[:, None]) * scale[:, None]
        inner = tl.where(inside, inner, 0.0)
        tl.store(grad_x + at, inner, mask=inside)
        of_weight += outer * value
        of_bias += outer
        of_x += inner
    sums = partial + tl.program_id(0) * 3 * channels + c
    tl.store(sums, tl.sum(of_weight, axis=0), mask=in_c)
    tl.store(sums + channels, tl.sum(of_bias, axis=0), mask=in_c)
    tl.store(sums + 2 * channels, tl.sum(of_x, axis=0), mask=in_c)
