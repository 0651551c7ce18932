"""Modulated deformable convolution (v2) without a compiled mmcv.

Fault: mmcv-lite has the Python half of ``mmcv.ops.modulated_deform_conv2d`` and not the functions
of ``mmcv._ext`` that it calls. Can go when mmcv ships an operator that needs no compiler.

The arguments are those of mmcv's extension. ``columns`` and ``ones`` are scratch space of the
compiled version and stay untouched.
"""

from __future__ import annotations

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
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Write the convolution of ``input`` (N, C, H, W) into ``output`` (N, C_out, H_out, W_out)."""
    geometry = Geometry(
        (kernel_h, kernel_w),
        (stride_h, stride_w),
        (pad_h, pad_w),
        (dilation_h, dilation_w),
        group,
        deformable_group,
    )
    output.copy_(deformable.forward(input, offset, mask, weight, geometry))
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
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Write the gradients of ``offset`` and ``mask``; add the others to their buffers."""
    geometry = Geometry(
        (kernel_h, kernel_w),
        (stride_h, stride_w),
        (pad_h, pad_w),
        (dilation_h, dilation_w),
        group,
        deformable_group,
    )
    grads = deformable.backward(grad_output, input, offset, mask, weight, geometry)
    grad_input.add_(grads.input)
    grad_offset.copy_(grads.offset)
    grad_mask.copy_(grads.mask)
    grad_weight.add_(grads.weight)
    if with_bias:
        grad_bias.add_(grad_output.sum((0, 2, 3)))
