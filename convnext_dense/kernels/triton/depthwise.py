"""Depthwise convolution of channels-last maps, and the gradients of its input and weight.

It is bound by the loads of its taps. Weights come in the type of the map, so that one layout of
threads loads both in vectors, and each program computes several rows, so that every pixel it loads
serves several outputs.
"""

# Triton reads a kernel's annotations itself, so they stay objects; types it takes from the call.
# ruff: noqa: ANN001

import torch
import triton
import triton.language as tl
from torch import Tensor

from convnext_dense.kernels.triton.launch import cdiv, next_power_of_2, strips

# Rows that a program of the convolution computes. Its code spells them out, since the layout that a
# third dimension of its tiles gets differs from one Triton to the next.
_ROWS = 4
# Threads of a program times the bytes that each loads at once.
_LOAD_BYTES = 128 * 16
# Taps that a program of the weight's gradient adds up, and positions that it has in flight.
_TAPS = 64
_POSITIONS = 4


def convolve(
    x: Tensor, taps: Tensor, bias: Tensor | None, kernel_size: int, dilation: int
) -> Tensor:
    """Convolve each channel by itself with zero padding that keeps the size.

    Args:
        x: (N, H, W, C), contiguous.
        taps: What :func:`as_taps` gives, in the type of ``x``; turned around (``flip(0)``) for the
            gradient of the input.
        bias: (C,), or None.
        kernel_size: k, odd.
        dilation: Distance between the taps.

    Returns:
        (N, H, W, C) in the type of ``x``, summed in float32.
    """
    batch, height, width, channels = x.shape
    out = torch.empty_like(x)
    block_c = _channel_block(x)
    block_w = _LOAD_BYTES // (x.element_size() * block_c)
    # A dilated kernel meets every dilation-th row: these are computed together.
    row_blocks = cdiv(cdiv(height, dilation), _ROWS) * dilation
    grid = (batch * row_blocks, cdiv(width, block_w), cdiv(channels, block_c))
    _depthwise_conv[grid](
        x, taps, bias, out, height, width, channels,
        KERNEL=kernel_size, DILATION=dilation, BIAS=bias is not None,
        BLOCK_W=block_w, BLOCK_C=block_c,
    )  # fmt: skip
    return out


def weight_gradient(x: Tensor, grad: Tensor, kernel_size: int, dilation: int) -> Tensor:
    """Give the gradient of the weight.

    Args:
        x: What was convolved, (N, H, W, C), contiguous.
        grad: Gradient of the result, like ``x``.
        kernel_size: k, odd.
        dilation: Distance between the taps.

    Returns:
        (C, 1, k, k), float32, contiguous.
    """
    batch, height, width, channels = x.shape
    taps = kernel_size**2
    block_c = _channel_block(x)
    block_t = min(_TAPS, next_power_of_2(taps))
    neighbours = cdiv(taps, block_t) * cdiv(channels, block_c)
    count, rows = strips(batch * height, 1, neighbours)
    partial = x.new_empty((count, taps, channels), dtype=torch.float32)
    grid = (count, cdiv(taps, block_t), cdiv(channels, block_c))
    _depthwise_weight_gradient[grid](
        x, grad, partial, batch * height, rows, height, width, channels,
        KERNEL=kernel_size, DILATION=dilation,
        BLOCK_T=block_t, BLOCK_C=block_c, POSITIONS=_POSITIONS,
    )  # fmt: skip
    return partial.sum(0).t().contiguous().view(channels, 1, kernel_size, kernel_size)


def as_taps(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Lay a (C, 1, k, k) weight out as the kernel reads it.

    Returns:
        ((3 + k + 3) * k, C), contiguous: the kernel's rows between three rows of zeros, through
        which an input row meets those of a program's four output rows that it does not touch.
    """
    channels, taps = weight.flatten(1).shape
    zeros = (_ROWS - 1) * weight.shape[-1]
    out = weight.new_zeros((zeros + taps + zeros, channels), dtype=dtype)
    out[zeros : zeros + taps] = weight.detach().flatten(1).t()
    return out


def _channel_block(x: Tensor) -> int:
    """Give the channels of a program: a cache line of them, where that divides their number."""
    return 64 if x.element_size() == 2 and x.shape[-1] % 64 == 0 else 32


@triton.jit(do_not_specialize=["height", "width"])
def _depthwise_conv(
    x, taps, bias, out, height, width, channels,
    KERNEL: tl.constexpr, DILATION: tl.constexpr, BIAS: tl.constexpr,
    BLOCK_W: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    row_blocks = tl.cdiv(tl.cdiv(height, DILATION), 4) * DILATION
    image = tl.program_id(0) // row_blocks
    block = tl.program_id(0) % row_blocks
    top = block // DILATION * 4 * DILATION + block % DILATION
    w = tl.program_id(1) * BLOCK_W + tl.arange(0, BLOCK_W)[:, None]
    c = tl.program_id(2) * BLOCK_C + tl.arange(0, BLOCK_C)[None, :]
    pad: tl.constexpr = DILATION * (KERNEL // 2)
    in_c = c < channels
    in_map = in_c & (w < width)
    # Offsets of a whole map may pass 2^31.
    first = image.to(tl.int64) * height
    # Weights are loaded once per position, though all share them: so they come in the layout of the
    # pixels, and no exchange between threads has to bring them there. The cache serves the rest.
    same = c + tl.zeros([BLOCK_W, BLOCK_C], tl.int32)
    kernel_row = KERNEL * channels
    sum_0 = tl.zeros([BLOCK_W, BLOCK_C], tl.float32)
    sum_1 = tl.zeros([BLOCK_W, BLOCK_C], tl.float32)
    sum_2 = tl.zeros([BLOCK_W, BLOCK_C], tl.float32)
    sum_3 = tl.zeros([BLOCK_W, BLOCK_C], tl.float32)
    # Row j of the input meets output row i through row j - i of the kernel, which the taps hold at
    # j - i + 3. Rows outside of the map add nothing.
    begin = tl.maximum(tl.cdiv(pad - top, DILATION), 0)
    end = tl.minimum(tl.cdiv(height + pad - top, DILATION), KERNEL + 3)
    for j in range(begin, end):
        line = x + (first + top + j * DILATION - pad) * width * channels
        for k in tl.static_range(KERNEL):
            column = w + (k * DILATION - pad)
            inside = in_c & (column >= 0) & (column < width)
            pixels = tl.load(line + (column * channels + c), mask=inside, other=0.0)
            pixels = pixels.to(tl.float32)
            tap = taps + (j * KERNEL + k) * channels + same
            sum_0 += pixels * tl.load(tap + 3 * kernel_row, mask=in_map, other=0.0).to(tl.float32)
            sum_1 += pixels * tl.load(tap + 2 * kernel_row, mask=in_map, other=0.0).to(tl.float32)
            sum_2 += pixels * tl.load(tap + kernel_row, mask=in_map, other=0.0).to(tl.float32)
            sum_3 += pixels * tl.load(tap, mask=in_map, other=0.0).to(tl.float32)
    if BIAS:
        shift = tl.load(bias + same, mask=in_map, other=0.0).to(tl.float32)
        sum_0 += shift
        sum_1 += shift
        sum_2 += shift
        sum_3 += shift
    pixel = top * width + w
    area = height * width
    at = out + first * width * channels + (pixel.to(tl.int64) * channels + c)
    down = DILATION * width
    tl.store(at, sum_0, mask=in_map & (pixel < area))
    tl.store(at + down * channels, sum_1, mask=in_map & (pixel + down < area))
    tl.store(at + 2 * down * channels, sum_2, mask=in_map & (pixel + 2 * down < area))
    tl.store(at + 3 * down * channels, sum_3, mask=in_map & (pixel + 3 * down < area))


@triton.jit(do_not_specialize=["rows", "rows_per_strip", "height", "width"])
def _depthwise_weight_gradient(
    x, grad, partial, rows, rows_per_strip, height, width, channels,
    KERNEL: tl.constexpr, DILATION: tl.constexpr,
    BLOCK_T: tl.constexpr, BLOCK_C: tl.constexpr, POSITIONS: tl.constexpr,
):  # fmt: skip
    strip = tl.program_id(0)
    tap = tl.program_id(1) * BLOCK_T + tl.arange(0, BLOCK_T)[:, None]
    c = tl.program_id(2) * BLOCK_C + tl.arange(0, BLOCK_C)[None, :]
    down = (tap // KERNEL - KERNEL // 2) * DILATION
    right = (tap % KERNEL - KERNEL // 2) * DILATION
    valid = (tap < KERNEL * KERNEL) & (c < channels)
    reach = tl.maximum(right, 0)
    shift = (down * width + right) * channels + c
    # Loaded once per tap, for the reason that stands at the weights above.
    same = c + tl.zeros([BLOCK_T, BLOCK_C], tl.int32)
    total = tl.zeros([BLOCK_T, BLOCK_C], tl.float32)
    start = strip * rows_per_strip
    corner = start.to(tl.int64) * width * channels
    for i in range(tl.minimum(rows_per_strip, rows - start)):
        h = (start + i) % height
        in_row = valid & (h + down >= 0) & (h + down < height)
        line = corner + i * width * channels
        for left in range(0, width, POSITIONS):
            for step in tl.static_range(POSITIONS):
                w = left + step
                inside = in_row & (w + right >= 0) & (w + reach < width)
                at = line + w * channels
                pixels = tl.load(x + at + shift, mask=inside, other=0.0)
                grads = tl.load(grad + at + same, mask=inside, other=0.0)
                total += pixels.to(tl.float32) * grads.to(tl.float32)
    at = (strip * KERNEL * KERNEL + tap) * channels + c
    tl.store(partial + at, total, mask=valid)
