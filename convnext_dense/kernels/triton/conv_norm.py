"""The first half of a block: depthwise convolution, then layer norm."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from convnext_dense.kernels import reference
from convnext_dense.kernels.gradients import (
    Context,
    is_recorded,
    needs_reference,
    reference_gradients,
)
from convnext_dense.kernels.triton.depthwise import as_taps, convolve, weight_gradient
from convnext_dense.kernels.triton.launch import launching
from convnext_dense.kernels.triton.layer_norm import normalise, normalise_backward


def conv_norm(
    x: Tensor,
    conv_weight: Tensor,
    conv_bias: Tensor,
    dilation: int,
    norm_weight: Tensor,
    norm_bias: Tensor,
    eps: float,
    dtype: torch.dtype,
) -> Tensor:
    """Compute :func:`convnext_dense.kernels.reference.conv_norm`.

    For the backward pass it keeps the map and the convolution's result, both in ``dtype``.
    """
    # The convolution reads each pixel many times: in half precision that costs less than the cast.
    x = x.to(dtype).contiguous()
    inputs = (x, conv_weight, conv_bias, dilation, norm_weight, norm_bias, eps)
    return _ConvNorm.apply(*inputs) if is_recorded(inputs) else _forward(*inputs)[0]


def _forward(
    x: Tensor,
    conv_weight: Tensor,
    conv_bias: Tensor,
    dilation: int,
    norm_weight: Tensor,
    norm_bias: Tensor,
    eps: float,
) -> tuple[Tensor, ...]:
    """Return the result, and what the backward pass needs beside the inputs."""
    with launching(x):
        taps = as_taps(conv_weight, x.dtype)
        features = convolve(x, taps, conv_bias, conv_weight.shape[-1], dilation)
        y, mean, rstd = normalise(features, norm_weight, norm_bias, eps, x.dtype)
    return y, taps, features, mean, rstd


class _Context(Context, Protocol):
    dilation: int
    eps: float


class _ConvNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: _Context,
        x: Tensor,
        conv_weight: Tensor,
        conv_bias: Tensor,
        dilation: int,
        norm_weight: Tensor,
        norm_bias: Tensor,
        eps: float,
    ) -> Tensor:
        y, *kept = _forward(x, conv_weight, conv_bias, dilation, norm_weight, norm_bias, eps)
        ctx.save_for_backward(x, conv_weight, conv_bias, norm_weight, norm_bias, *kept)
        ctx.dilation = dilation
        ctx.eps = eps
        return y

    @staticmethod
    def backward(ctx: _Context, grad: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, taps, features, mean, rstd = ctx.saved_tensors
        x, conv_weight, conv_bias, norm_weight, norm_bias = inputs
        dilation = ctx.dilation
        if needs_reference(grad):
            grads = reference_gradients(
                lambda x, w, b, norm_w, norm_b: reference.conv_norm(
                    x, w, b, dilation, norm_w, norm_b, ctx.eps, x.dtype
                ),
                inputs,
                grad,
            )
            return *grads[:3], None, *grads[3:], None
        kernel_size = conv_weight.shape[-1]
        with launching(x):
            inner, sums = normalise_backward(features, grad.contiguous(), norm_weight, mean, rstd)
            grad_x = grad_weight = None
            if ctx.needs_input_grad[0]:
                grad_x = convolve(inner, taps.flip(0), None, kernel_size, dilation)
            if ctx.needs_input_grad[1]:
                # DistributedDataParallel wants the gradient laid out as the weight is.
                grad_weight = torch.empty_like(conv_weight).copy_(
                    weight_gradient(x, inner, kernel_size, dilation)
                )
        return (
            grad_x,
            grad_weight,
            sums[2].to(conv_bias.dtype),
            None,
            sums[0].to(norm_weight.dtype),
            sums[1].to(norm_bias.dtype),
            None,
        )
