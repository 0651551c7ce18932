"""Modulated deformable convolution (v2) without a compiled mmcv.

Fault: mmcv-lite has the Python half of ``mmcv.ops.modulated_deform_conv2d`` and not the functions
of ``mmcv._ext`` that it calls. Can go when mmcv ships an operator that needs no compiler.

The arguments are those of mmcv's extension; mmcv passes the sizes by name. ``columns`` and ``ones``
are scratch space of the compiled version, and are not used here.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from convnext_dense.upstream.ops import deformable
from convnext_dense.upstream.ops.deformable import Geometry


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    *,
    with_bias: bool,
    **sizes: int,
) -> None:
    """Write the convolution of ``input`` (N, C, H, W) into ``output`` (N, C_out, H_out, W_out)."""
    geometry = _geometry(sizes)
    size = output.shape[-2:]
    output.copy_(
        deformable.forward(input, _as_read(offset, size), _as_read(mask, size), weight, geometry)
    )
    if with_bias:
        output.add_(bias.view(-1, 1, 1))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    *,
    with_bias: bool,
    **sizes: int,
) -> None:
    """Write the gradients of ``offset`` and ``mask``; add the others to their buffers."""
    geometry = _geometry(sizes)
    size = grad_output.shape[-2:]
    grads = deformable.backward(
        grad_output, input, _as_read(offset, size), _as_read(mask, size), weight, geometry
    )
    assert grads.input is not None and grads.weight is not None
    assert grads.offset is not None and grads.mask is not None
    grad_input.add_(grads.input)
    for target, grad in ((grad_offset, grads.offset), (grad_mask, grads.mask)):
        unread = target[0].numel() - grad[0].numel()
        target.copy_(F.pad(grad.flatten(1), (0, unread)).reshape(target.shape))
    grad_weight.add_(grads.weight)
    if with_bias:
        grad_bias.add_(grad_output.sum((0, 2, 3)))


def _as_read(values: Tensor, size: torch.Size) -> Tensor:
    """Return offsets or masks in the way that the compiled operator reads them.

    mmdet's DyHead convolves a coarse level with the offsets of a finer one. The compiled operator
    does not check the size: it reads the first values of each image as if they had its own size.
    Published DyHead and GLIP models were trained with that.

    Args:
        values: (N, C, H, W).
        size: Height and width of the output, of at most H * W positions.

    Returns:
        (N, C, *size).
    """
    number = values.shape[1] * size.numel()
    if values.shape[-2:] == size or values[0].numel() < number:
        return values  # too few values are refused later, by their shape
    return values.flatten(1)[:, :number].unflatten(1, (values.shape[1], *size))


def _geometry(sizes: dict[str, int]) -> Geometry:
    kernel, stride, padding, dilation = (
        (sizes[f"{name}_h"], sizes[f"{name}_w"]) for name in ("kernel", "stride", "pad", "dilation")
    )
    return Geometry(kernel, stride, padding, dilation, sizes["group"], sizes["deformable_group"])
