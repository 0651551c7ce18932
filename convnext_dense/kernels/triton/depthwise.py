"""Depthwise convolution of channels-last maps, and the gradients of its input and weight.

It is bound by the instructions that load taps and pixels and widen them to float32. Weights come in
the type of the map, so that one layout of threads loads both in vectors. Each thread computes four
rows and, on large maps, two columns, so that every pixel and every tap serves several outputs.

For the gradient of the weight a thread goes along a run of positions in a row of the map, and adds
up the products with a window of seven neighbouring pixels, of which each step brings one.
"""

# Triton reads a kernel's annotations itself, so they stay objects; types it takes from the call.
# ruff: noqa: ANN001

import torch
import triton
import triton.language as tl
from torch import Tensor

from convnext_dense.kernels.triton.launch import cdiv, strips

# Rows that a thread of the convolution computes. Its code spells them out, since the layout that a
# third dimension of its tiles gets differs from one Triton to the next.
_ROWS = 4
# Twice the programs that a GPU can run at once: where two columns for each thread leave at least as
# many, threads take two.
_ENOUGH_PROGRAMS = 1024
# Threads of a program times the bytes that each loads at once.
_LOAD_BYTES = 128 * 16
# Pixels of the window, which the code spells out too: taps of one row of the kernel.
_WINDOW = 7
# Positions of a run, at most: a few times the window, which is filled once for each.
_RUN = 28


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
    others = batch * row_blocks * cdiv(channels, block_c)
    columns = 2 if others * cdiv(width, 2 * block_w) >= _ENOUGH_PROGRAMS else 1
    grid = (batch * row_blocks, cdiv(width, columns * block_w), cdiv(channels, block_c))
    _depthwise_conv[grid](
        x, taps, bias, out, height, width, channels,
        KERNEL=kernel_size, DILATION=dilation, BIAS=bias is not None, COLUMNS=columns,
        WHOLE=channels % block_c == 0, BLOCK_W=block_w, BLOCK_C=block_c,
    )  # fmt: skip
    return out


def weight_gradient(x: Tensor, grad: Tensor, kernel_size: int, dilation: int) -> Tensor:
    """Return the gradient of the weight.

    Args:
        x: What was convolved, (N, H, W, C), contiguous.
        grad: Gradient of the result, like ``x``.
        kernel_size: k, odd.
        dilation: Distance between the taps.

    Returns:
        (C, 1, k, k), float32, contiguous.
    """
    batch, height, width, channels = x.shape
    block_c = _channel_block(x)
    block_r = _LOAD_BYTES // (x.element_size() * block_c)
    runs_per_row = cdiv(width, _RUN)
    run_length = cdiv(width, runs_per_row)
    runs = batch * height * runs_per_row
    windows = cdiv(kernel_size, _WINDOW)
    channel_blocks = cdiv(channels, block_c)
    count, runs_per_strip = strips(runs, block_r, kernel_size * windows * channel_blocks)
    partial = x.new_empty((count, kernel_size**2, channels), dtype=torch.float32)
    grid = (count, kernel_size * windows, channel_blocks)
    _depthwise_weight_gradient[grid](
        x, grad, partial, runs, runs_per_strip, runs_per_row, run_length,
        height, width, channels,
        KERNEL=kernel_size, DILATION=dilation, BLOCK_R=block_r, BLOCK_C=block_c,
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
    """Return the channels of a program: a cache line of them, where that divides their number."""
    return 64 if x.element_size() == 2 and x.shape[-1] % 64 == 0 else 32


@triton.jit(do_not_specialize=["height", "width"])
def _depthwise_conv(
    x, taps, bias, out, height, width, channels,
    KERNEL: tl.constexpr, DILATION: tl.constexpr, BIAS: tl.constexpr, COLUMNS: tl.constexpr,
    WHOLE: tl.constexpr, BLOCK_W: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    row_blocks = tl.cdiv(tl.cdiv(height, DILATION), 4) * DILATION
    image = tl.program_id(0) // row_blocks
    block = tl.program_id(0) % row_blocks
    top = block // DILATION * 4 * DILATION + block % DILATION
    w = tl.program_id(1) * COLUMNS * BLOCK_W + tl.arange(0, BLOCK_W)[:, None]
    c = tl.program_id(2) * BLOCK_C + tl.arange(0, BLOCK_C)[None, :]
    pad: tl.constexpr = DILATION * (KERNEL // 2)
    in_c = c < channels
    # Offsets of a whole map may pass 2^31.
    first = image.to(tl.int64) * height
    # Weights are loaded once per position, though all share them: so they come in the layout of the
    # pixels, and no exchange between threads has to bring them there. The cache serves the rest.
    same = c + tl.zeros([BLOCK_W, BLOCK_C], tl.int32)
    kernel_row = KERNEL * channels
    near_0 = tl.zeros([BLOCK_W, BLOCK_C], tl.float32)
    near_1 = tl.zeros([BLOCK_W, BLOCK_C], tl.float32)
    near_2 = tl.zeros([BLOCK_W, BLOCK_C], tl.float32)
    near_3 = tl.zeros([BLOCK_W, BLOCK_C], tl.float32)
    far_0 = near_0
    far_1 = near_1
    far_2 = near_2
    far_3 = near_3
    # Row j of the input meets output row i through row j - i of the kernel, which the taps hold at
    # j - i + 3. Rows outside of the map add nothing.
    begin = tl.maximum(tl.cdiv(pad - top, DILATION), 0)
    end = tl.minimum(tl.cdiv(height + pad - top, DILATION), KERNEL + 3)
    for j in range(begin, end):
        line = x + (first + top + j * DILATION - pad) * width * channels
        for k in tl.static_range(KERNEL):
            tap = taps + (j * KERNEL + k) * channels + same
            tap_0 = _load(tap + 3 * kernel_row, in_c, WHOLE)
            tap_1 = _load(tap + 2 * kernel_row, in_c, WHOLE)
            tap_2 = _load(tap + kernel_row, in_c, WHOLE)
            tap_3 = _load(tap, in_c, WHOLE)
            column = w + (k * DILATION - pad)
            pixels = _pixel(line, column, width, channels, c, in_c)
            near_0 += pixels * tap_0
            near_1 += pixels * tap_1
            near_2 += pixels * tap_2
            near_3 += pixels * tap_3
            if COLUMNS == 2:
                pixels = _pixel(line, column + BLOCK_W, width, channels, c, in_c)
                far_0 += pixels * tap_0
                far_1 += pixels * tap_1
                far_2 += pixels * tap_2
                far_3 += pixels * tap_3
    if BIAS:
        shift = tl.load(bias + same, mask=in_c, other=0.0).to(tl.float32)
        near_0 += shift
        near_1 += shift
        near_2 += shift
        near_3 += shift
        far_0 += shift
        far_1 += shift
        far_2 += shift
        far_3 += shift
    corner = out + first * width * channels
    _store_rows(
        corner, near_0, near_1, near_2, near_3, top, w, c, height, width, channels, DILATION
    )
    if COLUMNS == 2:
        w += BLOCK_W
        _store_rows(
            corner, far_0, far_1, far_2, far_3, top, w, c, height, width, channels, DILATION
        )


@triton.jit
def _load(at, mask, WHOLE: tl.constexpr):
    # A mask costs instructions, for the zeros of what it leaves out.
    if WHOLE:
        return tl.load(at).to(tl.float32)
    else:
        return tl.load(at, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def _pixel(line, column, end, channels, c, mask):
    inside = mask & (column >= 0) & (column < end)
    return tl.load(line + (column * channels + c), mask=inside, other=0.0).to(tl.float32)


@triton.jit
def _store_rows(
    corner, row_0, row_1, row_2, row_3, top, w, c, height, width, channels, DILATION: tl.constexpr
):
    inside = (c < channels) & (w < width)
    pixel = top * width + w
    area = height * width
    down = DILATION * width
    at = corner + (pixel.to(tl.int64) * channels + c)
    tl.store(at, row_0, mask=inside & (pixel < area))
    tl.store(at + down * channels, row_1, mask=inside & (pixel + down < area))
    tl.store(at + 2 * down * channels, row_2, mask=inside & (pixel + 2 * down < area))
    tl.store(at + 3 * down * channels, row_3, mask=inside & (pixel + 3 * down < area))


@triton.jit(
    do_not_specialize=[
        "runs", "runs_per_strip", "runs_per_row", "run_length", "height", "width",
    ]
)  # fmt: skip
def _depthwise_weight_gradient(
    x, grad, partial, runs, runs_per_strip, runs_per_row, run_length, height, width, channels,
    KERNEL: tl.constexpr, DILATION: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    strip = tl.program_id(0)
    windows: tl.constexpr = (KERNEL + 6) // 7
    down = (tl.program_id(1) // windows - KERNEL // 2) * DILATION
    # The first of the taps that belong to the window.
    tap = tl.program_id(1) % windows * 7
    right = (tap - KERNEL // 2) * DILATION
    c = tl.program_id(2) * BLOCK_C + tl.arange(0, BLOCK_C)[None, :]
    in_c = c < channels
    sum_0 = tl.zeros([BLOCK_R, BLOCK_C], tl.float32)
    sum_1 = sum_0
    sum_2 = sum_0
    sum_3 = sum_0
    sum_4 = sum_0
    sum_5 = sum_0
    sum_6 = sum_0
    start = strip * runs_per_strip
    for first in range(start, tl.minimum(start + runs_per_strip, runs), BLOCK_R):
        run = first + tl.arange(0, BLOCK_R)[:, None]
        row = run // runs_per_row
        begin = run % runs_per_row * run_length
        end = tl.minimum(begin + run_length, width)
        h = row % height + down
        # A row of the map, and that of the input which these taps lie on.
        of_grad = in_c & (run < runs)
        of_x = of_grad & (h >= 0) & (h < height)
        grad_line = grad + row.to(tl.int64) * width * channels
        line = x + (row + down).to(tl.int64) * width * channels
        for phase in range(DILATION):
            # Positions that are DILATION apart share all but one of their pixels.
            w = begin + phase
            v = w + right
            pixel_0 = _pixel(line, v, width, channels, c, of_x)
            pixel_1 = _pixel(line, v + DILATION, width, channels, c, of_x)
            pixel_2 = _pixel(line, v + 2 * DILATION, width, channels, c, of_x)
            pixel_3 = _pixel(line, v + 3 * DILATION, width, channels, c, of_x)
            pixel_4 = _pixel(line, v + 4 * DILATION, width, channels, c, of_x)
            pixel_5 = _pixel(line, v + 5 * DILATION, width, channels, c, of_x)
            for _group in range(phase, run_length, 7 * DILATION):
                # After seven steps each pixel has its first name again, and none was moved.
                for _step in tl.static_range(7):
                    pixel_6 = _pixel(line, v + 6 * DILATION, width, channels, c, of_x)
                    outer = _pixel(grad_line, w, end, channels, c, of_grad)
                    sum_0 += outer * pixel_0
                    sum_1 += outer * pixel_1
                    sum_2 += outer * pixel_2
                    sum_3 += outer * pixel_3
                    sum_4 += outer * pixel_4
                    sum_5 += outer * pixel_5
                    sum_6 += outer * pixel_6
                    pixel_0 = pixel_1
                    pixel_1 = pixel_2
                    pixel_2 = pixel_3
                    pixel_3 = pixel_4
                    pixel_4 = pixel_5
                    pixel_5 = pixel_6
                    w += DILATION
                    v += DILATION
    c = tl.program_id(2) * BLOCK_C + tl.arange(0, BLOCK_C)
    t = tap + tl.zeros([BLOCK_C], tl.int32)
    row = strip * KERNEL + tl.program_id(1) // windows
    at = partial + (row * KERNEL + t) * channels + c
    tl.store(at, tl.sum(sum_0, axis=0), mask=(c < channels) & (t < KERNEL))
    tl.store(at + channels, tl.sum(sum_1, axis=0), mask=(c < channels) & (t + 1 < KERNEL))
    tl.store(at + 2 * channels, tl.sum(sum_2, axis=0), mask=(c < channels) & (t + 2 < KERNEL))
    tl.store(at + 3 * channels, tl.sum(sum_3, axis=0), mask=(c < channels) & (t + 3 < KERNEL))
    tl.store(at + 4 * channels, tl.sum(sum_4, axis=0), mask=(c < channels) & (t + 4 < KERNEL))
    tl.store(at + 5 * channels, tl.sum(sum_5, axis=0), mask=(c < channels) & (t + 5 < KERNEL))
    tl.store(at + 6 * channels, tl.sum(sum_6, axis=0), mask=(c < channels) & (t + 6 < KERNEL))
