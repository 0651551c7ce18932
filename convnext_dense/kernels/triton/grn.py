"""GELU and global response normalisation (arXiv 2301.00808, section 3.3), of which nothing is kept.

With a = gelu(hidden), r the norm of a over a sample's positions and s = r / (mean of r over the
channels + eps), the result is a * (1 + weight * s) + bias. Each pass computes a again, which costs
less than to write and read it.
"""

# Triton reads a kernel's annotations itself, so they stay objects; types it takes from the call.
# ruff: noqa: ANN001

import torch
import triton
import triton.language as tl
from torch import Tensor

from convnext_dense.kernels.triton.gelu import gelu_and_slope
from convnext_dense.kernels.triton.launch import cdiv, column_tile, strips


def gelu_grn(hidden: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Compute GELU and GRN.

    Args:
        hidden: (N, positions, columns), contiguous.
        weight: (columns,).
        bias: (columns,).
        eps: Added to the mean response.

    Returns:
        The result in the type of ``hidden``, and the responses r, (N, columns) in float32.
    """
    grid, sizes, tile = _tiling(hidden)
    partial = hidden.new_empty(_partial_shape(hidden, grid), dtype=torch.float32)
    _grn_energy[grid](hidden, partial, *sizes, **tile)
    response = partial.sum(1).sqrt()
    out = torch.empty_like(hidden)
    gain = 1 + weight.float() * _relative(response, eps)
    _grn_apply[grid](hidden, gain, bias, out, *sizes, **tile)
    return out, response


def gelu_grn_backward_(
    hidden: Tensor, grad: Tensor, response: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Turn the gradient of :func:`gelu_grn`'s result into that of ``hidden``, in place.

    Args:
        hidden: As in :func:`gelu_grn`, like ``weight``, ``bias`` and ``eps``.
        grad: Like ``hidden``; overwritten.
        response: What :func:`gelu_grn` gave.

    Returns:
        The result of :func:`gelu_grn`; and in float32 the sum of the new ``grad`` over all rows,
        the gradient of weight, and that of bias.
    """
    grid, sizes, tile = _tiling(hidden)
    shape = _partial_shape(hidden, grid)
    relative = _relative(response, eps)
    gain = 1 + weight.float() * relative

    out = torch.empty_like(hidden)
    products, grads = hidden.new_empty((2, *shape), dtype=torch.float32)
    _grn_reduce[grid](hidden, grad, gain, bias, out, products, grads, *sizes, **tile)
    # The gradient of the gain: sums of grad * a over a sample's positions.
    products = products.sum(1)
    of_weight = (products * relative).sum(0)
    of_bias = grads.sum((0, 1))

    # The gradient of r, then of a through r, which is that of r times a / r.
    of_relative = products * weight.float()
    level = response.mean(1, keepdim=True) + eps
    of_response = (of_relative - (of_relative * relative).mean(1, keepdim=True)) / level
    pull = torch.where(response > 0, of_response / response, 0)
    partial = hidden.new_empty(shape, dtype=torch.float32)
    _grn_backward[grid](hidden, grad, gain, pull, partial, *sizes, **tile)
    return out, partial.sum((0, 1)), of_weight, of_bias


def _relative(response: Tensor, eps: float) -> Tensor:
    return response / (response.mean(1, keepdim=True) + eps)


def _tiling(hidden: Tensor) -> tuple[tuple[int, int, int], tuple[int, int, int], dict[str, int]]:
    """Return the grid (strips, column blocks, samples), the run-time sizes and the tile."""
    batch, positions, columns = hidden.shape
    tile_rows, tile_columns = column_tile(columns)
    blocks = cdiv(columns, tile_columns)
    count, strip_rows = strips(positions, tile_rows, blocks * batch)
    tile = {"ROWS": tile_rows, "COLUMNS": tile_columns}
    return (count, blocks, batch), (positions, strip_rows, columns), tile


def _partial_shape(hidden: Tensor, grid: tuple[int, int, int]) -> tuple[int, int, int]:
    return hidden.shape[0], grid[0], hidden.shape[2]


@triton.jit(do_not_specialize=["positions", "rows_per_strip"])
def _grn_energy(
    hidden, partial, positions, rows_per_strip, columns,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    c = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    in_c = c < columns
    sample = tl.program_id(2).to(tl.int64) * positions
    total = tl.zeros([ROWS, COLUMNS], tl.float32)
    start = tl.program_id(0) * rows_per_strip
    for first in range(start, tl.minimum(start + rows_per_strip, positions), ROWS):
        row = first + tl.arange(0, ROWS)[:, None]
        inside = (row < positions) & in_c[None, :]
        at = (sample + row) * columns + c[None, :]
        value, _ = gelu_and_slope(tl.load(hidden + at, mask=inside, other=0.0).to(tl.float32))
        total += value * value
    at = (tl.program_id(2) * tl.num_programs(0) + tl.program_id(0)) * columns + c
    tl.store(partial + at, tl.sum(total, axis=0), mask=in_c)


@triton.jit(do_not_specialize=["positions", "rows_per_strip"])
def _grn_apply(
    hidden, gain, bias, out, positions, rows_per_strip, columns,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    c = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    in_c = c < columns
    sample = tl.program_id(2).to(tl.int64) * positions
    factor = tl.load(gain + tl.program_id(2) * columns + c, mask=in_c, other=0.0)[None, :]
    shift = tl.load(bias + c, mask=in_c, other=0.0).to(tl.float32)[None, :]
    start = tl.program_id(0) * rows_per_strip
    for first in range(start, tl.minimum(start + rows_per_strip, positions), ROWS):
        row = first + tl.arange(0, ROWS)[:, None]
        inside = (row < positions) & in_c[None, :]
        at = (sample + row) * columns + c[None, :]
        value, _ = gelu_and_slope(tl.load(hidden + at, mask=inside, other=0.0).to(tl.float32))
        tl.store(out + at, value * factor + shift, mask=inside)


@triton.jit(do_not_specialize=["positions", "rows_per_strip"])
def _grn_reduce(
    hidden, grad, gain, bias, out, products, grads, positions, rows_per_strip, columns,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    c = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    in_c = c < columns
    sample = tl.program_id(2).to(tl.int64) * positions
    factor = tl.load(gain + tl.program_id(2) * columns + c, mask=in_c, other=0.0)[None, :]
    shift = tl.load(bias + c, mask=in_c, other=0.0).to(tl.float32)[None, :]
    product = tl.zeros([ROWS, COLUMNS], tl.float32)
    total = tl.zeros([ROWS, COLUMNS], tl.float32)
    start = tl.program_id(0) * rows_per_strip
    for first in range(start, tl.minimum(start + rows_per_strip, positions), ROWS):
        row = first + tl.arange(0, ROWS)[:, None]
        inside = (row < positions) & in_c[None, :]
        at = (sample + row) * columns + c[None, :]
        value, _ = gelu_and_slope(tl.load(hidden + at, mask=inside, other=0.0).to(tl.float32))
        outer = tl.load(grad + at, mask=inside, other=0.0).to(tl.float32)
        tl.store(out + at, value * factor + shift, mask=inside)
        product += outer * value
        total += outer
    at = (tl.program_id(2) * tl.num_programs(0) + tl.program_id(0)) * columns + c
    tl.store(products + at, tl.sum(product, axis=0), mask=in_c)
    tl.store(grads + at, tl.sum(total, axis=0), mask=in_c)


@triton.jit(do_not_specialize=["positions", "rows_per_strip"])
def _grn_backward(
    hidden, grad, gain, pull, partial, positions, rows_per_strip, columns,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    c = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    in_c = c < columns
    sample = tl.program_id(2).to(tl.int64) * positions
    factor = tl.load(gain + tl.program_id(2) * columns + c, mask=in_c, other=0.0)[None, :]
    along = tl.load(pull + tl.program_id(2) * columns + c, mask=in_c, other=0.0)[None, :]
    total = tl.zeros([ROWS, COLUMNS], tl.float32)
    start = tl.program_id(0) * rows_per_strip
    for first in range(start, tl.minimum(start + rows_per_strip, positions), ROWS):
        row = first + tl.arange(0, ROWS)[:, None]
        inside = (row < positions) & in_c[None, :]
        at = (sample + row) * columns + c[None, :]
        value, slope = gelu_and_slope(tl.load(hidden + at, mask=inside, other=0.0).to(tl.float32))
        outer = tl.load(grad + at, mask=inside, other=0.0).to(tl.float32)
        inner = (outer * factor + along * value) * slope
        tl.store(grad + at, inner, mask=inside)
        total += inner
    at = (tl.program_id(2) * tl.num_programs(0) + tl.program_id(0)) * columns + c
    tl.store(partial + at, tl.sum(total, axis=0), mask=in_c)
