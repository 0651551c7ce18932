"""RoIAlign, as ``mmcv._ext`` defines it.

A bilinear sample is a weighted sum of pixels, and so is an average of samples. Pooling is then one
product of a sparse matrix, with a row for each bin and a column for each pixel, and the feature
map; its gradient is the product with the transpose. The matrix is cheap to make, for an average
is separable: a bin weighs a pixel by the product of a weight along y and one along x. For maps of
few channels, such as masks, even that is too much, and a RoI is averaged along y, then along x.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from convnext_dense.upstream.ops.torchvision_ops import torchvision_ops

MAX, AVERAGE = range(2)

# Most RoIs in a sparse matrix. Each is padded to the largest of them, so this limits the memory.
MOST_ROIS = 128

# With fewer channels, making the matrix takes longer than a product along each axis.
FEW_CHANNELS = 64


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Pool bilinear samples of the feature map in each bin of each RoI.

    Args:
        input: (B, C, H, W) feature map.
        rois: (R, 5) as batch index, x1, y1, x2, y2 in pixels of the image.
        output: (R, C, aligned_height, aligned_width), written. A sample outside the map counts
            as 0; a bin without samples, in a RoI without width or height, becomes 0.
        argmax_y: as ``output``, written in max mode: the row of the largest sample, -1 for none.
        argmax_x: as ``argmax_y``, the column.
        aligned_height: bins along y.
        aligned_width: bins along x.
        spatial_scale: feature map pixels in one pixel of the image.
        sampling_ratio: samples along each axis of a bin; 0 for as many as it covers pixels.
        pool_mode: 0 takes the largest sample, 1 the average.
        aligned: shift by half a pixel, so that a pixel's value lies at its centre. Otherwise RoIs
            are not shifted and count as one pixel wide and high at least.
    """
    # Half precision is too coarse for sums.
    features = input.to(torch.promote_types(input.dtype, torch.float32))
    bins = (aligned_height, aligned_width)
    torchvision = torchvision_ops(input.device)
    if torchvision is not None and pool_mode == AVERAGE:
        pooled = torchvision.roi_align(
            features, rois.to(features.dtype), spatial_scale, *bins, sampling_ratio, aligned
        )
        output.copy_(pooled)
        return

    channels = input.size(1)
    few_channels = pool_mode == AVERAGE and channels < FEW_CHANNELS
    if not few_channels:
        pixels = features.permute(0, 2, 3, 1).reshape(-1, channels)
    with torch.autocast(input.device.type, enabled=False):
        for part in _slices(rois):
            grid = _sample(
                rois[part].to(features.dtype), bins, spatial_scale, sampling_ratio, aligned
            )
            if few_channels:
                for roi, (window, y, x) in zip(
                    output[part], _windows(grid, input.shape), strict=True
                ):
                    roi.copy_(y @ features[window] @ x.t())
            elif pool_mode == AVERAGE:
                pooled = _average_matrix(grid, input.shape) @ pixels
                output[part] = pooled.view(-1, *bins, channels).permute(0, 3, 1, 2)
            else:
                samples = _sample_matrix(grid, input.shape) @ pixels
                output[part], argmax_y[part], argmax_x[part] = _largest(samples, grid)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write the gradient of :func:`roi_align_forward` with respect to ``input``; RoIs have none.

    Args:
        grad_output: (R, C, aligned_height, aligned_width).
        rois: as in the forward pass, like all that is not named here.
        argmax_y: as the forward pass wrote it, like ``argmax_x``.
        grad_input: (B, C, H, W), written.
    """
    gradient = grad_output.to(torch.promote_types(grad_output.dtype, torch.float32))
    rois = rois.to(gradient.dtype)
    bins = (aligned_height, aligned_width)
    shape = grad_input.shape
    if pool_mode == MAX:
        grad_input.copy_(_spread(gradient, rois, argmax_y, argmax_x, shape))
        return
    torchvision = torchvision_ops(grad_output.device)
    if torchvision is not None:
        spread = torchvision._roi_align_backward(
            gradient, rois, spatial_scale, *bins, *shape, sampling_ratio, aligned
        )
        grad_input.copy_(spread)
        return

    batch, channels, height, width = shape
    few_channels = channels < FEW_CHANNELS
    pixels = gradient.new_zeros(batch, height, width, channels)
    maps = pixels.permute(0, 3, 1, 2)
    with torch.autocast(grad_output.device.type, enabled=False):
        for part in _slices(rois):
            grid = _sample(rois[part], bins, spatial_scale, sampling_ratio, aligned)
            if few_channels:
                for roi, (window, y, x) in zip(gradient[part], _windows(grid, shape), strict=True):
                    maps[window] += y.t() @ roi @ x
            else:
                pooled = gradient[part].permute(0, 2, 3, 1).reshape(-1, channels)
                pixels.view(-1, channels).addmm_(_average_matrix(grid, shape).t(), pooled)
    grad_input.copy_(maps)


class _Axis(NamedTuple):
    """Samples of R RoIs along one axis."""

    positions: Tensor  # (R, bins, N) in pixels of the feature map; infinite where there is none
    counts: Tensor  # (R,) samples to a bin, N at most


class _Grid(NamedTuple):
    """Samples of R RoIs: at each pair of a position along y and one along x."""

    batch: Tensor  # (R,) index of the feature map
    y: _Axis
    x: _Axis


def _sample(
    rois: Tensor, bins: tuple[int, int], spatial_scale: float, sampling_ratio: int, aligned: bool
) -> _Grid:
    x1, y1, x2, y2 = (rois[:, 1:] * spatial_scale - (0.5 if aligned else 0)).unbind(dim=1)
    height, width = y2 - y1, x2 - x1
    if not aligned:
        height, width = height.clamp(min=1), width.clamp(min=1)
    return _Grid(
        rois[:, 0].long(),
        _sample_axis(y1, height, bins[0], sampling_ratio),
        _sample_axis(x1, width, bins[1], sampling_ratio),
    )


def _sample_axis(start: Tensor, length: Tensor, bins: int, sampling_ratio: int) -> _Axis:
    bin_length = length / bins
    if sampling_ratio > 0:
        counts = torch.full_like(length, sampling_ratio, dtype=torch.long)
    else:
        counts = bin_length.ceil().long().clamp(min=0)
    sample = torch.arange(max(1, int(counts.max())), device=start.device)
    start, bin_length, count = (each[:, None, None] for each in (start, bin_length, counts))
    bin_start = start + torch.arange(bins, device=start.device)[:, None] * bin_length
    positions = bin_start + (sample + 0.5) * bin_length / count
    return _Axis(positions.where(sample < count, torch.inf), counts)


def _bilinear(positions: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the two pixels next to each position, and their weights: both get one more axis of 2.

    Up to one pixel outside the map, the border's value is used; beyond that, both weights are 0.
    """
    inside = (positions >= -1) & (positions <= size)
    positions = positions.clamp(0, size - 1)
    low = positions.long()
    fraction = positions - low
    pixels = torch.stack([low, (low + 1).clamp(max=size - 1)], dim=-1)
    weights = torch.stack([1 - fraction, fraction], dim=-1)
    return pixels, weights.where(inside.unsqueeze(-1), 0)


def _average_axis(axis: _Axis, size: int) -> tuple[Tensor, Tensor]:
    """Return the pixels that each bin averages, and their weights: both of shape (R, bins, K)."""
    pixels, weights = (each.flatten(2) for each in _bilinear(axis.positions, size))
    weights = weights / axis.counts.clamp(min=1)[:, None, None]
    # Neighbouring samples share pixels: add up their weights.
    first = pixels.where(weights > 0, size - 1).amin(dim=2, keepdim=True)
    place = (pixels - first).where(weights > 0, 0)
    total = weights.new_zeros(*first.shape[:2], int(place.max()) + 1)
    total.scatter_add_(2, place, weights)
    return first + torch.arange(total.size(2), device=first.device), total


def _windows(grid: _Grid, map_shape: torch.Size) -> Iterator[tuple[tuple, Tensor, Tensor]]:
    """Yield the part of the maps that each RoI averages, and its weights, (bins, length)."""
    y_parts, y_weights = _axis_windows(grid.y, map_shape[2])
    x_parts, x_weights = _axis_windows(grid.x, map_shape[3])
    parts = zip(grid.batch.tolist(), y_parts, x_parts, strict=True)
    for (batch, y, x), along_y, along_x in zip(parts, y_weights, x_weights, strict=True):
        window = (batch, slice(None), slice(*y), slice(*x))
        yield window, along_y[:, : y[1] - y[0]], along_x[:, : x[1] - x[0]]


def _axis_windows(axis: _Axis, size: int) -> tuple[list[list[int]], Tensor]:
    """Return first pixel and end of what each RoI averages, and the weights, (R, bins, longest)."""
    pixels, weights = _average_axis(axis, size)
    pixels = pixels.clamp(max=size - 1)  # pixels beyond it have the weight 0
    first, last = pixels.flatten(1).aminmax(dim=1)
    windows = weights.new_zeros(*weights.shape[:2], int((last - first).max()) + 1)
    windows.scatter_add_(2, pixels - first[:, None, None], weights)
    return torch.stack([first, last + 1], dim=1).tolist(), windows


def _average_matrix(grid: _Grid, map_shape: torch.Size) -> Tensor:
    """Return a sparse matrix with a row for each bin of R RoIs, (R·bins_y·bins_x, B·H·W)."""
    y = _average_axis(grid.y, map_shape[2])
    x = _average_axis(grid.x, map_shape[3])
    return _matrix(grid.batch, y, x, map_shape)


def _sample_matrix(grid: _Grid, map_shape: torch.Size) -> Tensor:
    """Return a sparse matrix with a row for each sample, (R·bins_y·N_y·bins_x·N_x, B·H·W)."""
    y = _bilinear(grid.y.positions.flatten(1), map_shape[2])
    x = _bilinear(grid.x.positions.flatten(1), map_shape[3])
    return _matrix(grid.batch, y, x, map_shape)


def _matrix(
    batch: Tensor, y: tuple[Tensor, Tensor], x: tuple[Tensor, Tensor], map_shape: torch.Size
) -> Tensor:
    """Multiply pixels and weights along y, (R, P, J), with those along x, (R, Q, K).

    The rows are the R·P·Q pairs. The pixels in a row are in rising order, without repetition.
    """
    maps, _, height, width = map_shape
    (y_pixels, y_weights), (x_pixels, x_weights) = y, x
    row_starts = (batch[:, None, None] * height + y_pixels) * width
    pixels = row_starts[:, :, None, :, None] + x_pixels[:, None, :, None, :]
    weights = y_weights[:, :, None, :, None] * x_weights[:, None, :, None, :]
    pixels, weights = (each.flatten(3).flatten(0, 2) for each in (pixels, weights))
    used = weights.nonzero(as_tuple=True)
    return torch.sparse_coo_tensor(
        torch.stack([used[0], pixels[used]]),
        weights[used],
        (len(weights), maps * height * width),
        is_coalesced=True,
        check_invariants=True,
    )


def _largest(samples: Tensor, grid: _Grid) -> tuple[Tensor, Tensor, Tensor]:
    """Return the largest sample of each bin, and its position, each (R, C, bins_y, bins_x)."""
    y, x = grid.y.positions, grid.x.positions
    samples = samples.view(*y.shape, *x.shape[1:], -1).permute(0, 5, 1, 3, 2, 4)
    y, x = torch.broadcast_tensors(y[:, None, :, None, :, None], x[:, None, None, :, None, :])
    absent = (y.isinf() | x.isinf()).flatten(4)
    values, index = samples.flatten(4).masked_fill(absent, -torch.inf).max(dim=4, keepdim=True)
    empty = absent.all(dim=4)
    rows, columns = (
        each.flatten(4).expand(-1, samples.size(1), -1, -1, -1).gather(4, index).squeeze(4)
        for each in (y, x)
    )
    return (
        values.squeeze(4).masked_fill(empty, 0),
        rows.masked_fill(empty, -1),
        columns.masked_fill(empty, -1),
    )


def _spread(
    gradient: Tensor, rois: Tensor, rows: Tensor, columns: Tensor, map_shape: torch.Size
) -> Tensor:
    """Add each bin's gradient to the pixels around its largest sample."""
    _, channels, height, width = map_shape
    y_pixels, y_weights = _bilinear(rows.to(gradient.dtype), height)
    x_pixels, x_weights = _bilinear(columns.to(gradient.dtype), width)
    plane = rois[:, :1].long() * channels + torch.arange(channels, device=rois.device)
    row_starts = (plane[:, :, None, None, None] * height + y_pixels) * width
    pixels = row_starts[..., :, None] + x_pixels[..., None, :]
    weights = y_weights[..., :, None] * x_weights[..., None, :]
    taken = (rows != -1)[..., None, None]
    spread = (gradient[..., None, None] * weights).where(taken, 0)
    total = gradient.new_zeros(map_shape)
    total.view(-1).index_add_(0, pixels.flatten(), spread.flatten())
    return total


def _slices(rois: Tensor) -> Iterator[slice]:
    """Return slices that divide RoIs into groups for one sparse matrix each."""
    return (slice(start, start + MOST_ROIS) for start in range(0, len(rois), MOST_ROIS))
