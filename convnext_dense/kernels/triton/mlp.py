"""The second half of a block: two products with a GELU, and in V2 a GRN, between them.

The products are cuBLAS's. Of the hidden map, four times as wide as the block, only the first
product's result is kept; the rest is computed again in the backward pass. The second product's
result is not kept either: the gradient of the layer scale gamma follows from that of its weight.
"""

from __future__ import annotations

from typing import Any, Protocol

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
from convnext_dense.kernels.parameters import MLPParameters
from convnext_dense.kernels.triton.gelu import gelu_backward_
from convnext_dense.kernels.triton.grn import gelu_grn, gelu_grn_backward_
from convnext_dense.kernels.triton.launch import launching
from convnext_dense.kernels.triton.layer_scale import fold, unfold_gradients
from convnext_dense.kernels.triton.residual import add_branch, scale_and_sum


def mlp(shortcut: Tensor, y: Tensor, parameters: MLPParameters, scale: float) -> Tensor:
    """Compute :func:`convnext_dense.kernels.reference.mlp`."""
    shortcut, y = shortcut.contiguous(), y.contiguous()
    if is_recorded((shortcut, y, *parameters.tensors)):
        return _MLP.apply(scale, shortcut, y, *parameters)
    return _forward(shortcut, y, parameters, scale)[0]


def _forward(
    shortcut: Tensor, y: Tensor, parameters: MLPParameters, scale: float
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
    """Compute the result, and what the backward pass needs beside the inputs.

    That is the weights in the type of ``y``, the first product's result, and the responses of GRN.
    """
    w1, b1, w2, b2, gamma = parameters[:5]
    dtype = y.dtype
    rows = y.flatten(0, -2)
    with launching(y):
        w1, w2 = w1.to(dtype), w2.to(dtype)
        hidden = torch.addmm(b1.to(dtype), rows, w1.t())
        if parameters.grn is None:
            activated, response = F.gelu(hidden), None
        else:
            activated, response = gelu_grn(hidden.view(_samples(y, hidden)), *parameters.grn)
        branch = activated.view_as(hidden) @ w2.t()
        out = add_branch(shortcut.flatten(0, -2), branch, b2, gamma, scale)
    return out.view_as(shortcut), w1, w2, hidden, response


class _Context(Context, Protocol):
    scale: float
    grn_eps: float
    shortcut_dtype: torch.dtype


class _MLP(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _Context, scale: float, shortcut: Tensor, y: Tensor, *fields: Any) -> Tensor:
        parameters = MLPParameters(*fields)
        out, *kept = _forward(shortcut, y, parameters, scale)
        ctx.save_for_backward(y, *parameters.tensors, *kept)
        ctx.scale = scale
        ctx.grn_eps = parameters.grn_eps
        ctx.shortcut_dtype = shortcut.dtype
        return out

    @staticmethod
    def backward(ctx: _Context, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_shortcut = grad.to(ctx.shortcut_dtype)
        if needs_reference(grad):
            grads = _differentiable_gradients(ctx, grad)
        else:
            with launching(grad):
                grads = _gradients(ctx, grad.contiguous())
        return None, grad_shortcut, *grads, None, None


def _gradients(ctx: _Context, grad: Tensor) -> list[Tensor | None]:
    """Return the gradients of y and of ``MLPParameters.tensors``, in this order."""
    *inputs, w1_cast, w2_cast, hidden, response = ctx.saved_tensors
    y, _, _, w2, b2, gamma, grn_weight, grn_bias = inputs
    dtype = y.dtype

    # Layer scale goes into the second weight rather than onto the gradient: then one product gives
    # the gradients of both. A layer scale of 1e-6 would leave float16's range there. It goes onto
    # the gradient in float32, before the cast, where loss scaling makes room for it.
    folds = gamma is not None and dtype != torch.float16
    if folds:
        w2_cast = fold(w2, gamma, ctx.scale, dtype)
        outer, grad_b2 = scale_and_sum(grad.flatten(0, -2), None, 1.0, dtype)
    else:
        outer, grad_b2 = scale_and_sum(grad.flatten(0, -2), gamma, ctx.scale, dtype)

    # From here on `inner` is overwritten: the gradient of the activated map becomes the hidden's.
    inner = outer @ w2_cast
    if response is None:
        activated, grad_b1 = gelu_backward_(hidden, inner)
        grad_grn = (None, None)
    else:
        samples = _samples(y, hidden)
        activated, grad_b1, *grad_grn = gelu_grn_backward_(
            hidden.view(samples), inner.view(samples), response, grn_weight, grn_bias, ctx.grn_eps
        )
        activated = activated.view_as(hidden)

    grad_w2 = outer.t() @ activated
    grad_gamma = None
    if folds:
        grad_w2, grad_b2, grad_gamma = unfold_gradients(grad_w2, grad_b2, w2, b2, gamma, ctx.scale)
    elif gamma is not None:
        branch = torch.addmm(b2.to(dtype), activated, w2_cast.t())
        grad_gamma = ctx.scale * (grad.flatten(0, -2) * branch).sum(0, dtype=torch.float32)

    grad_w1 = inner.t() @ y.flatten(0, -2)
    grad_y = (inner @ w1_cast).view_as(y)
    grads = (grad_y, grad_w1, grad_b1, grad_w2, grad_b2, grad_gamma, *grad_grn)
    return [None if g is None else g.to(t.dtype) for g, t in zip(grads, inputs, strict=True)]


def _samples(y: Tensor, hidden: Tensor) -> tuple[int, int, int]:
    return len(y), y.shape[1:-1].numel(), hidden.shape[1]


def _differentiable_gradients(ctx: _Context, grad: Tensor) -> list[Tensor | None]:
    """Return what :func:`_gradients` returns, by way of plain torch."""

    def plain(y: Tensor, *tensors: Any) -> Tensor:
        # The shortcut's gradient does not depend on the shortcut, which is therefore not kept.
        shortcut = torch.zeros_like(y, dtype=ctx.shortcut_dtype)
        parameters = MLPParameters._make((*tensors, ctx.grn_eps, None))
        return reference.mlp(shortcut, y, parameters, ctx.scale)

    return reference_gradients(plain, ctx.saved_tensors[:8], grad)
