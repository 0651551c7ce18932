"""Deformable convolution, versions 1 and 2, behind one interface.

torchvision's operator does the work on a GPU where it loads, plain torch elsewhere. Both read the
offsets as mmcv lays them out: channel ``2 * (g * K + k)`` holds y and the next one x, for
deformable group ``g`` and kernel point ``k`` in row order.

The plain version treats a convolution as a sampling followed by a matrix product. Sampling reads
four pixels of a channels-last table and sums them by their bilinear weights, which is what
``embedding_bag`` does, forward and backward, without a copy per corner.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from convnext_dense.upstream.ops.torchvision_ops import torchvision_ops


class Geometry(NamedTuple):
    """How the kernel moves over the input. Pairs are (height, width)."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    deform_groups: int


class Gradients(NamedTuple):
    """Gradients of a deformable convolution.

    The mask's is None in version 1. Gradients that were not asked for may be None.
    """

    input: Tensor | None
    offset: Tensor | None
    mask: Tensor | None
    weight: Tensor | None


def forward(
    input: Tensor, offset: Tensor, mask: Tensor | None, weight: Tensor, geometry: Geometry
) -> Tensor:
    """Compute a deformable convolution without bias.

    Args:
        input: (N, C, H, W).
        offset: (N, 2 * deform_groups * K, H_out, W_out) in pixels, (y, x) per kernel point, where
            K is the number of kernel points.
        mask: (N, deform_groups * K, H_out, W_out), or None for version 1.
        weight: (C_out, C / groups, K_h, K_w).
        geometry: kernel, stride, padding, dilation and groups.

    Returns:
        (N, C_out, H_out, W_out) in the type of ``weight``.

    Raises:
        ValueError: If the shapes do not fit each other.
    """
    _check_shapes(input, offset, mask, weight, geometry)
    torchvision = torchvision_ops(input.device)
    if torchvision is not None:
        args = _torchvision_arguments(input, offset, mask, weight, geometry)
        return torchvision.deform_conv2d(*args).to(weight.dtype)
    with torch.autocast(input.device.type, enabled=False):
        output = input.new_empty(len(input), len(weight), *offset.shape[-2:], dtype=weight.dtype)
        for index in range(len(input)):
            columns = _columns(*_image(index, input, offset, mask), geometry).to(weight.dtype)
            product = torch.einsum(
                "pkgc,gock->gop", _by_group(columns, geometry), _grouped(weight, geometry)
            )
            output[index] = product.reshape(output.shape[1:])
    return output


def backward(
    grad_output: Tensor,
    input: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    weight: Tensor,
    geometry: Geometry,
    *,
    of_samples: bool = True,
    of_weight: bool = True,
) -> Gradients:
    """Compute the gradients of :func:`forward`. torchvision always computes all of them.

    Args:
        grad_output: (N, C_out, H_out, W_out); the other tensors are those of :func:`forward`.
        of_samples: Compute the gradients of input, offset and mask.
        of_weight: Compute the gradient of weight.

    Raises:
        ValueError: If the shapes do not fit each other.
    """
    _check_shapes(input, offset, mask, weight, geometry)
    torchvision = torchvision_ops(input.device)
    if torchvision is not None:
        args = _torchvision_arguments(input, offset, mask, weight, geometry)
        grad_input, grad_weight, grad_offset, grad_mask, _ = torchvision._deform_conv2d_backward(
            grad_output.to(args[0].dtype), *args
        )
        return Gradients(grad_input, grad_offset, None if mask is None else grad_mask, grad_weight)

    grads = [torch.zeros_like(t) for t in (input, offset, mask) if t is not None]
    grad_weight = torch.zeros_like(_grouped(weight, geometry))
    with torch.autocast(input.device.type, enabled=False):
        for index in range(len(input)):
            detached = None if mask is None else mask.detach()
            leaves = _image(index, input.detach(), offset.detach(), detached)
            wanted = [t.requires_grad_(of_samples) for t in leaves if t is not None]
            with torch.enable_grad():
                columns = _columns(*leaves, geometry).to(weight.dtype)
            grad_image = grad_output[index].reshape(*grad_weight.shape[:2], -1)
            if of_weight:
                grad_weight += torch.einsum(
                    "gop,pkgc->gock", grad_image, _by_group(columns.detach(), geometry)
                )
            if of_samples:
                grad_columns = torch.einsum(
                    "gop,gock->pkgc", grad_image, _grouped(weight, geometry)
                )
                results = torch.autograd.grad(columns, wanted, grad_columns.reshape_as(columns))
                for grad, result in zip(grads, results, strict=True):
                    grad[index] = result
    return Gradients(
        input=grads[0] if of_samples else None,
        offset=grads[1] if of_samples else None,
        mask=grads[2] if of_samples and mask is not None else None,
        weight=grad_weight.reshape(weight.shape) if of_weight else None,
    )


def _columns(image: Tensor, offset: Tensor, mask: Tensor | None, geometry: Geometry) -> Tensor:
    """Return the samples of one image, (H_out * W_out, K, C), in float32 or float64.

    A sample counts where -1 < y < H and -1 < x < W, and pixels outside the image count as zero.
    """
    (kernel_h, kernel_w), stride, padding, dilation, _, groups = geometry
    channels, height, width = image.shape
    out_h, out_w = offset.shape[-2:]
    points = kernel_h * kernel_w
    # A sampling position needs more than half precision has.
    dtype = torch.promote_types(image.dtype, torch.float32)

    def positions(size: int, axis: int) -> Tensor:
        steps = torch.arange(size, device=image.device, dtype=dtype)
        return steps * stride[axis] - padding[axis]

    def taps(size: int, axis: int) -> Tensor:
        return torch.arange(size, device=image.device, dtype=dtype) * dilation[axis]

    # Everything below is ordered (H_out, W_out, K, deform_groups), so that the samples come out
    # with the channels of all groups side by side.
    shifts = offset.to(dtype).reshape(groups, points, 2, out_h, out_w)
    shift_y, shift_x = shifts.permute(2, 3, 4, 1, 0)
    y = shift_y + positions(out_h, 0).view(-1, 1, 1, 1)
    y = y + taps(kernel_h, 0).repeat_interleave(kernel_w).view(-1, 1)
    x = shift_x + positions(out_w, 1).view(-1, 1, 1)
    x = x + taps(kernel_w, 1).repeat(kernel_h).view(-1, 1)

    # One pixel of zeros around the image holds every corner that falls outside. Samples that do not
    # count go to its first corner, which cuts their gradient too.
    counts = (y > -1) & (y < height) & (x > -1) & (x < width)
    y, x = y.where(counts, -1.0), x.where(counts, -1.0)
    padded_h, padded_w = height + 2, width + 2
    table = F.pad(image.to(dtype), (1, 1, 1, 1)).reshape(groups, channels // groups, -1)
    table = table.transpose(1, 2).reshape(-1, channels // groups)

    top, left = y.detach().floor(), x.detach().floor()
    first = (top.long() + 1) * padded_w + left.long() + 1
    first = first + torch.arange(groups, device=image.device) * (padded_h * padded_w)
    corners = torch.tensor([0, 1, padded_w, padded_w + 1], device=image.device)
    low, right = y - top, x - left
    high, near = 1 - low, 1 - right
    shares = torch.stack((high * near, high * right, low * near, low * right), dim=-1)
    if mask is not None:
        amounts = mask.to(dtype).reshape(groups, points, out_h, out_w).permute(2, 3, 1, 0)
        shares = shares * amounts[..., None]
    samples = F.embedding_bag(
        (first[..., None] + corners).reshape(-1, 4),
        table,
        mode="sum",
        per_sample_weights=shares.reshape(-1, 4),
    )
    return samples.view(out_h * out_w, points, channels)


def _image(
    index: int, input: Tensor, offset: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    return input[index], offset[index], None if mask is None else mask[index]


def _by_group(columns: Tensor, geometry: Geometry) -> Tensor:
    """(P, K, C) → (P, K, groups, C / groups)."""
    return columns.unflatten(2, (geometry.groups, -1))


def _grouped(weight: Tensor, geometry: Geometry) -> Tensor:
    """(C_out, C / groups, K_h, K_w) → (groups, C_out / groups, C / groups, K)."""
    return weight.flatten(2).unflatten(0, (geometry.groups, -1))


def _torchvision_arguments(
    input: Tensor, offset: Tensor, mask: Tensor | None, weight: Tensor, geometry: Geometry
) -> tuple:
    # torchvision itself computes in float32 under autocast, for the reason given in _columns.
    dtype = torch.promote_types(input.dtype, torch.float32)
    use_mask = mask is not None
    tensors = (input, weight, offset, input.new_zeros(len(input), 1) if mask is None else mask)
    return (
        *(tensor.to(dtype).contiguous() for tensor in tensors),
        input.new_zeros(len(weight), dtype=dtype),
        *geometry.stride,
        *geometry.padding,
        *geometry.dilation,
        geometry.groups,
        geometry.deform_groups,
        use_mask,
    )


def _check_shapes(
    input: Tensor, offset: Tensor, mask: Tensor | None, weight: Tensor, geometry: Geometry
) -> None:
    channels = weight.shape[1] * geometry.groups
    if input.shape[1] != channels or channels % geometry.deform_groups:
        raise ValueError(
            f"deformable convolution: the input has {input.shape[1]} channels, but the weight of "
            f"shape {tuple(weight.shape)} with groups={geometry.groups} takes {channels}, which "
            f"must be a multiple of deform_groups={geometry.deform_groups}"
        )
    samples = geometry.deform_groups * geometry.kernel[0] * geometry.kernel[1]
    out = [
        (size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
        for size, kernel, stride, pad, dilation in zip(input.shape[-2:], *geometry[:4], strict=True)
    ]
    for name, tensor, maps in (("offset", offset, 2 * samples), ("mask", mask, samples)):
        expected = (len(input), maps, *out)
        if tensor is not None and tuple(tensor.shape) != expected:
            raise ValueError(
                f"deformable convolution: {name} has shape {tuple(tensor.shape)}, expected "
                f"{expected} for an input of shape {tuple(input.shape)} and {geometry}"
            )
