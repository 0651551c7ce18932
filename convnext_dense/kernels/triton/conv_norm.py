"""The first half of a block: depthwise convolution, then layer norm."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from convnext_dense.kernels import reference
from convnext_dense.kernels.gradients import (
    Context,
    is_recorded,
    needs_reference,
    reference_gradients,
)
from convnext_dense.kernels.parameters import ConvNormParameters
from convnext_dense.kernels.triton.depthwise import as_taps, convolve, weight_gradient
from convnext_dense.kernels.triton.launch import launching
from convnext_dense.kernels.triton.layer_norm import normalise, normalise_backward


def conv_norm(x: Tensor, parameters: ConvNormParameters, dtype: torch.dtype) -> Tensor:
    """Compute :func:`convnext_dense.kernels.reference.conv_norm`.

    For the backward pass it keeps the map and the convolution's result, both in ``dtype``.
    """
    # The convolution reads each pixel many times: in half precision that costs less than the cast.
    x = x.to(dtype).contiguous()
    if is_recorded((x, *parameters.tensors)):
        return _ConvNorm.apply(x, *parameters)
    return _forward(x, parameters)[0]


def _forward(x: Tensor, parameters: ConvNormParameters) -> tuple[Tensor, ...]:
    """Compute the result, and what the backward pass needs beside the inputs."""
    weight, bias, norm_weight, norm_bias, dilation, eps = parameters
    with launching(x):
        taps = as_taps(weight, x.dtype)
        features = convolve(x, taps, bias, weight.shape[-1], dilation)
        y, mean, rstd = normalise(features, norm_weight, norm_bias, eps, x.dtype)
    return y, taps, features, mean, rstd


class _Context(Context, Protocol):
    dilation: int
    eps: float


class _ConvNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _Context, x: Tensor, *fields: Any) -> Tensor:
        parameters = ConvNormParameters(*fields)
        y, *kept = _forward(x, parameters)
        ctx.save_for_backward(x, *parameters.tensors, *kept)
        ctx.dilation, ctx.eps = parameters.dilation, parameters.eps
        return y

    @staticmethod
    def backward(ctx: _Context, grad: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, taps, features, mean, rstd = ctx.saved_tensors
        x, weight, bias, norm_weight, norm_bias = inputs
        dilation = ctx.dilation
        if needs_reference(grad):
            grads = reference_gradients(
                lambda x, *tensors: reference.conv_norm(
                    x, ConvNormParameters._make((*tensors, dilation, ctx.eps)), x.dtype
                ),
                inputs,
                grad,
            )
            return *grads, None, None
        kernel_size = weight.shape[-1]
        with launching(x):
            inner, sums = normalise_backward(features, grad.contiguous(), norm_weight, mean, rstd)
            grad_x = grad_weight = None
            if ctx.needs_input_grad[0]:
                grad_x = convolve(inner, taps.flip(0), None, kernel_size, dilation)
            if ctx.needs_input_grad[1]:
                # DistributedDataParallel wants the gradient laid out as the weight is.
                grad_weight = torch.empty_like(weight).copy_(
                    weight_gradient(x, inner, kernel_size, dilation)
                )
        return (
            grad_x,
            grad_weight,
            sums[2].to(bias.dtype),
            sums[0].to(norm_weight.dtype),
            sums[1].to(norm_bias.dtype),
            None,
            None,
        )
