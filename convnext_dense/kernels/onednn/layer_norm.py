"""Layer norm whose gradients of weight and bias are summed in float32.

On CPUs torch (2.13) sums them in the type of the map: over 64,000 positions in bfloat16 the
gradient of the bias was seen to be wrong by 68 % of its size.
"""

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

# Elements whose products are summed at a time: they stay in the cache.
_PART = 2**17


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Compute :func:`convnext_dense.kernels.reference.layer_norm`."""
    if x.dtype == torch.bfloat16 and is_recorded((x, weight, bias)):
        return _LayerNorm.apply(x, weight, bias, eps)
    # torch takes bfloat16 maps beside float32 parameters, and computes in float32.
    return reference.layer_norm(x, weight, bias, eps)


class _Context(Context, Protocol):
    eps: float


class _LayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _Context, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        y, mean, rstd = torch.native_layer_norm(x, weight.shape, weight, bias, eps)
        ctx.save_for_backward(x, weight, bias, mean, rstd)
        ctx.eps = eps
        return y

    @staticmethod
    def backward(ctx: _Context, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, rstd = ctx.saved_tensors
        if needs_reference(grad):
            grads = reference_gradients(
                lambda x, w, b: reference.layer_norm(x, w, b, ctx.eps), (x, weight, bias), grad
            )
            return *grads, None
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = torch.ops.aten.native_layer_norm_backward(
                grad, x, weight.shape, mean, rstd, weight, bias, [True, False, False]
            )[0]
        of_weight, of_bias = _parameter_gradients(x, grad, mean, rstd)
        return grad_x, of_weight.to(weight.dtype), of_bias.to(bias.dtype), None


def _parameter_gradients(
    x: Tensor, grad: Tensor, mean: Tensor, rstd: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the gradients of weight and bias, (C,), in float32."""
    rows = max(_PART // x.shape[-1], 1)
    of_weight = of_bias = torch.zeros(x.shape[-1])
    parts = (t.reshape(-1, t.shape[-1]).split(rows) for t in (x, grad, mean, rstd))
    for x_part, grad_part, mean_part, rstd_part in zip(*parts, strict=True):
        grad_part = grad_part.float()
        normed = x_part.float().sub_(mean_part).mul_(rstd_part)
        of_bias = of_bias + grad_part.sum(0)
        of_weight = of_weight + normed.mul_(grad_part).sum(0)
    return of_weight, of_bias
