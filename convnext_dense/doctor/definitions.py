"""The operators of detectors by their definitions: one sample after another, in plain Python.

They are slow, short and differentiable, and share no code with the operators that they judge.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def nms(boxes: Tensor, scores: Tensor, threshold: float, offset: int) -> list[int]:
    """Return the indices of the boxes that are kept, highest score first.

    Args:
        boxes: (N, 4) as x1, y1, x2, y2.
        scores: (N,).
        threshold: A box is dropped if its IoU with a kept one is above it.
        offset: 1 counts the last pixel of a box as inside.
    """
    kept: list[int] = []
    for index in scores.argsort(descending=True).tolist():
        if all(_iou(boxes[index], boxes[other], offset) <= threshold for other in kept):
            kept.append(index)
    return kept


def soft_nms(
    boxes: Tensor, scores: Tensor, method: str, threshold: float, sigma: float, least: float
) -> list[tuple[int, float]]:
    """Return indices and lowered scores (arXiv 1704.04503), in the order in which they are taken.

    Args:
        boxes: (N, 4) as x1, y1, x2, y2.
        scores: (N,).
        method: ``linear``, ``gaussian`` or ``naive``.
        threshold: Of the IoU, for ``linear`` and ``naive``.
        sigma: Of ``gaussian``.
        least: A box is dropped when its score falls below it.
    """
    left = {index: float(score) for index, score in enumerate(scores)}
    taken = []
    while left:
        best = max(left, key=lambda index: left[index])
        taken.append((best, left.pop(best)))
        for index in list(left):
            iou = _iou(boxes[best], boxes[index], 0)
            if method == "gaussian":
                left[index] *= math.exp(-(iou**2) / sigma)
            elif iou > threshold:
                left[index] *= 1 - iou if method == "linear" else 0.0
            if left[index] < least:
                del left[index]
    return taken


def _iou(a: Tensor, b: Tensor, offset: int) -> float:
    ax1, ay1, ax2, ay2 = a.tolist()
    bx1, by1, bx2, by2 = b.tolist()
    width = max(min(ax2, bx2) - max(ax1, bx1) + offset, 0.0)
    height = max(min(ay2, by2) - max(ay1, by1) + offset, 0.0)
    areas = [
        (x2 - x1 + offset) * (y2 - y1 + offset)
        for x1, y1, x2, y2 in ((ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2))
    ]
    return width * height / (sum(areas) - width * height)


def roi_align(
    features: Tensor, rois: Tensor, size: int, scale: float, samples: int, mode: str, aligned: bool
) -> Tensor:
    """Pool bilinear samples (arXiv 1703.06870).

    Args:
        features: (N, C, H, W).
        rois: (R, 5) as image, x1, y1, x2, y2.
        size: Bins along each side.
        scale: Pixels of the map in a pixel of the image.
        samples: Samples along each side of a bin; 0 takes one for each pixel.
        mode: ``avg`` or ``max``.
        aligned: Whether to shift by half a pixel.

    Returns:
        (R, C, size, size).
    """
    pooled = []
    for roi in rois.tolist():
        x1, y1, x2, y2 = (side * scale - 0.5 * aligned for side in roi[1:])
        least = 0.0 if aligned else 1.0
        height, width = max(y2 - y1, least) / size, max(x2 - x1, least) / size
        rows, columns = samples or math.ceil(height), samples or math.ceil(width)
        for row in range(size):
            for column in range(size):
                values = [
                    _sample_clamped(
                        features[int(roi[0])],
                        y1 + (row + (i + 0.5) / rows) * height,
                        x1 + (column + (j + 0.5) / columns) * width,
                    )
                    for i in range(rows)
                    for j in range(columns)
                ]
                stacked = torch.stack(values)
                pooled.append(stacked.mean(0) if mode == "avg" else stacked.amax(0))
    return torch.stack(pooled).view(len(rois), size, size, -1).permute(0, 3, 1, 2)


def roi_pool(features: Tensor, rois: Tensor, size: int, scale: float) -> Tensor:
    """Take the largest pixel of each bin (arXiv 1504.08083); see :func:`roi_align`."""
    pooled = []
    for roi in rois.tolist():
        x1, y1 = (side * scale for side in roi[1:3])
        x2, y2 = ((side + 1) * scale for side in roi[3:])
        tall, wide = (y2 - y1) / size, (x2 - x1) / size
        for row in range(size):
            for column in range(size):
                top, bottom = math.floor(row * tall + y1), math.ceil((row + 1) * tall + y1)
                left, right = math.floor(column * wide + x1), math.ceil((column + 1) * wide + x1)
                top, left = max(top, 0), max(left, 0)
                window = features[int(roi[0]), :, top:bottom, left:right]
                empty = window.numel() == 0
                pooled.append(window.sum((1, 2)) if empty else window.amax((1, 2)))
    return torch.stack(pooled).view(len(rois), size, size, -1).permute(0, 3, 1, 2)


def deform_conv(
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    *,
    mask: Tensor | None = None,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    deform_groups: int = 1,
) -> Tensor:
    """Convolve at shifted taps (arXiv 1703.06211; with a mask arXiv 1811.11168).

    Args:
        x: (1, C, H, W).
        offset: (1, deform_groups * 2 * k * k, H', W'): y and x of each tap.
        weight: (C', C / groups, k, k).
        mask: (1, deform_groups * k * k, H', W'), or None.
        stride: Of the convolution, as ``padding``, ``dilation`` and ``groups``.
        padding: See ``stride``.
        dilation: See ``stride``.
        groups: See ``stride``.
        deform_groups: Groups of channels with offsets of their own.

    Returns:
        (1, C', H', W').
    """
    side, taps = weight.shape[-1], weight.shape[-1] ** 2
    out_height, out_width = offset.shape[-2:]
    channels = x.shape[1] // deform_groups
    out_rows = []
    for row in range(out_height):
        for column in range(out_width):
            patch = []
            for group in range(deform_groups):
                plane = x[0, group * channels : (group + 1) * channels]
                for tap in range(taps):
                    at = group * taps + tap
                    y = row * stride - padding + (tap // side) * dilation
                    left = column * stride - padding + (tap % side) * dilation
                    dy, dx = offset[0, 2 * at, row, column], offset[0, 2 * at + 1, row, column]
                    value = _sample(plane, y + dy, left + dx)
                    patch.append(value if mask is None else value * mask[0, at, row, column])
            # (deform_groups, taps, channels) to (C, taps)
            stacked = torch.stack(patch).view(deform_groups, taps, channels)
            columns = stacked.transpose(1, 2).reshape(groups, -1)
            filters = weight.view(groups, weight.shape[0] // groups, -1)
            out_rows.append(torch.einsum("gk,gok->go", columns, filters).flatten())
    return torch.stack(out_rows, -1).view(1, -1, out_height, out_width)


def ms_deform_attn(
    value: Tensor, shapes: Sequence[tuple[int, int]], locations: Tensor, weights: Tensor
) -> Tensor:
    """Attend to sampled points of several maps (arXiv 2010.04159).

    Args:
        value: (1, sum of H * W, heads, channels).
        shapes: Height and width of each map.
        locations: (1, queries, heads, levels, points, 2), x and y in [0, 1].
        weights: (1, queries, heads, levels, points).

    Returns:
        (1, queries, heads * channels).
    """
    starts = [sum(h * w for h, w in shapes[:level]) for level in range(len(shapes))]
    outputs = []
    for query in range(locations.shape[1]):
        for head in range(value.shape[2]):
            total = value.new_zeros(value.shape[-1])
            for level, (height, width) in enumerate(shapes):
                plane = value[0, starts[level] : starts[level] + height * width, head]
                plane = plane.t().reshape(-1, height, width)
                for point in range(locations.shape[4]):
                    x, y = locations[0, query, head, level, point]
                    sample = _sample(plane, y * height - 0.5, x * width - 0.5)
                    total = total + weights[0, query, head, level, point] * sample
            outputs.append(total)
    return torch.stack(outputs).view(1, locations.shape[1], -1)


def focal_loss(logits: Tensor, labels: Tensor, gamma: float, alpha: float) -> Tensor:
    """Return the focal loss of each logit (arXiv 1708.02002).

    Args:
        logits: (N, K).
        labels: (N,), K for the background.
        gamma: How much well classified samples count less.
        alpha: Weight of the positives.
    """
    rows = []
    for row, label in zip(logits, labels.tolist(), strict=True):
        for index, logit in enumerate(row):
            p = torch.sigmoid(logit)
            if index == label:
                rows.append(-alpha * (1 - p) ** gamma * torch.log(p))
            else:
                rows.append(-(1 - alpha) * p**gamma * torch.log(1 - p))
    return torch.stack(rows).view_as(logits)


def _sample_clamped(plane: Tensor, y: float, x: float) -> Tensor:
    """Sample a (C, H, W) map; 0 where the place is more than a pixel outside."""
    height, width = plane.shape[1:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return plane.new_zeros(len(plane))
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    return _sample(plane, plane.new_tensor(y), plane.new_tensor(x))


def _sample(plane: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Sample a (C, H, W) map that is surrounded by zeros."""
    height, width = plane.shape[1:]
    top, left = math.floor(y.detach()), math.floor(x.detach())
    total = plane.new_zeros(len(plane))
    for row in (top, top + 1):
        for column in (left, left + 1):
            if 0 <= row < height and 0 <= column < width:
                share = (1 - (y - row).abs()) * (1 - (x - column).abs())
                total = total + share * plane[:, row, column]
    return total
