"""RoIPool, as ``mmcv._ext`` defines it for a GPU.

torchvision's operator of that name rounds the corners of RoIs in another way, so plain torch is
used on every device.
"""

from __future__ import annotations

import torch
from torch import Tensor


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Write the largest pixel of each bin of each RoI; bins are whole pixels and may overlap.

    Args:
        input: (B, C, H, W) feature map.
        rois: (R, 5) as batch index, x1, y1, x2, y2 in pixels of the image, the last included.
        output: (R, C, pooled_height, pooled_width), written; 0 where a bin holds no pixel.
        argmax: as ``output``, int32, written: y · W + x of the largest pixel, -1 for none.
        pooled_height: bins along y.
        pooled_width: bins along x.
        spatial_scale: feature map pixels in one pixel of the image.
    """
    height, width = input.shape[2:]
    corners = rois[:, 1:].float()
    x1, y1 = (corners[:, :2] * spatial_scale).unbind(dim=1)
    x2, y2 = ((corners[:, 2:] + 1) * spatial_scale).unbind(dim=1)
    valid = (x2 > x1) & (y2 > y1)
    y_pixels, y_inside = _bin_pixels(y1, y2, pooled_height, height)
    x_pixels, x_inside = _bin_pixels(x1, x2, pooled_width, width)
    for roi, image in enumerate(rois[:, 0].long().tolist()):
        pixels = y_pixels[roi, :, None, :, None] * width + x_pixels[roi, None, :, None, :]
        inside = y_inside[roi, :, None, :, None] & x_inside[roi, None, :, None, :] & valid[roi]
        pixels, inside = pixels.flatten(2), inside.flatten(2)
        values = input[image].flatten(1)[:, pixels].masked_fill(~inside, -torch.inf)
        largest, index = values.max(dim=3, keepdim=True)
        empty = ~inside.any(dim=2)
        taken = pixels.expand_as(values).gather(3, index).squeeze(3)
        output[roi] = largest.squeeze(3).masked_fill(empty, 0)
        argmax[roi] = taken.masked_fill(empty, -1)


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Write the gradient of :func:`roi_pool_forward` with respect to ``input``.

    Args:
        grad_output: (R, C, pooled_height, pooled_width).
        rois: as in the forward pass.
        argmax: as the forward pass wrote it.
        grad_input: (B, C, H, W), written.

    The others are not used: ``argmax`` says enough.
    """
    _, channels, height, width = grad_input.shape
    plane = rois[:, :1].long() * channels + torch.arange(channels, device=rois.device)
    pixels = plane[:, :, None, None] * (height * width) + argmax.clamp(min=0)
    gradient = grad_output.masked_fill(argmax < 0, 0)
    total = gradient.new_zeros(grad_input.numel())
    total.index_add_(0, pixels.flatten(), gradient.flatten())
    grad_input.copy_(total.view(grad_input.shape))


def _bin_pixels(start: Tensor, end: Tensor, bins: int, size: int) -> tuple[Tensor, Tensor]:
    """Return the pixels of each bin along an axis, and a mask of those in it, both (R, bins, K)."""
    bin_length = ((end - start) / bins)[:, None]
    index = torch.arange(bins, device=start.device)
    first = (index * bin_length + start[:, None]).floor().clamp(0, size)
    last = ((index + 1) * bin_length + start[:, None]).ceil().clamp(0, size)
    longest = max(1, int((last - first).max())) if first.numel() else 1
    pixels = first[..., None] + torch.arange(longest, device=start.device)
    inside = pixels < last[..., None]
    return pixels.clamp(max=size - 1).long(), inside
