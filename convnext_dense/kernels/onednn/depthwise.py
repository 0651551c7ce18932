"""Depthwise convolution with a fast gradient of its weight, and the norm behind it."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from convnext_dense.kernels import reference
from convnext_dense.kernels.gradients import (
    Context,
    is_recorded,
    needs_reference,
    reference_gradients,
)
from convnext_dense.kernels.onednn.layer_norm import layer_norm
from convnext_dense.kernels.parameters import ConvNormParameters

# Rows of the map that one convolution of the weight's gradient sums over: longer sums lose digits
# and leave the cache.
_STRIP = 8


def conv_norm(x: Tensor, parameters: ConvNormParameters, dtype: torch.dtype) -> Tensor:
    """Compute :func:`convnext_dense.kernels.reference.conv_norm`."""
    weight, bias, norm_weight, norm_bias, dilation, eps = parameters
    with torch.autocast("cpu", enabled=False):
        inputs = (x.to(dtype), weight.to(dtype), bias.to(dtype), dilation)
        y = (_DepthwiseConv.apply if is_recorded(inputs) else _forward)(*inputs)
        return layer_norm(y, norm_weight, norm_bias, eps)


def _forward(x: Tensor, weight: Tensor, bias: Tensor, dilation: int) -> Tensor:
    return reference.depthwise_conv(x, weight, bias, dilation).contiguous()


class _Context(Context, Protocol):
    dilation: int


class _DepthwiseConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _Context, x: Tensor, weight: Tensor, bias: Tensor, dilation: int) -> Tensor:
        ctx.save_for_backward(x, weight, bias)
        ctx.dilation = dilation
        return _forward(x, weight, bias, dilation)

    @staticmethod
    def backward(ctx: _Context, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias = ctx.saved_tensors
        if needs_reference(grad):
            grads = reference_gradients(
                lambda x, w, b: reference.depthwise_conv(x, w, b, ctx.dilation),
                (x, weight, bias),
                grad,
            )
            return *grads, None
        grad_x = grad_weight = grad_bias = None
        with torch.autocast("cpu", enabled=False):
            if ctx.needs_input_grad[0]:
                grad_x = reference.depthwise_conv(grad, weight.flip(2, 3), None, ctx.dilation)
            if ctx.needs_input_grad[1]:
                # DistributedDataParallel wants the gradient laid out as the weight is.
                grad_weight = torch.empty_like(weight).copy_(
                    depthwise_weight_gradient(x, grad, weight.shape[-1], ctx.dilation)
                )
            if ctx.needs_input_grad[2]:
                grad_bias = grad.sum((0, 1, 2))
        return grad_x, grad_weight, grad_bias, None


def depthwise_weight_gradient(x: Tensor, grad: Tensor, kernel_size: int, dilation: int) -> Tensor:
    """Return the gradient of a depthwise weight, computed as a depthwise convolution.

    Each tap is the sum of the shifted input times the output's gradient, so the gradient is the
    input convolved with a kernel that is as large as the map: the output's gradient. oneDNN's
    forward convolution is many times faster at that than its own gradient of the weight, above all
    in bfloat16.

    Args:
        x: The convolution's input, (N, H, W, C).
        grad: The gradient of its output, (N, H, W, C).
        kernel_size: Odd size k.
        dilation: Distance between the taps.

    Returns:
        (C, 1, k, k) in float32.
    """
    channels = x.shape[-1]
    padding = dilation * (kernel_size // 2)
    x = F.pad(x.float(), (0, 0, padding, padding, padding, padding)).permute(0, 3, 1, 2)
    grad = grad.float().permute(3, 0, 1, 2)
    total = x.new_zeros(1, channels, kernel_size, kernel_size)
    for sample in range(x.shape[0]):
        for top in range(0, grad.shape[2], _STRIP):
            strip = grad[:, sample : sample + 1, top : top + _STRIP]
            window = x[sample : sample + 1, :, top : top + strip.shape[2] + 2 * padding]
            total += F.conv2d(window, strip, stride=dilation, groups=channels)
    return total.view(channels, 1, kernel_size, kernel_size)
