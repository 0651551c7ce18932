"""The second half of a block: two products with a GELU, and in V2 a GRN, between them.

The products are cuBLAS's. Of the hidden map, four times as wide as the block, only the first
product's result is kept; the rest is computed again in the backward pass. The second product's
result is not kept either: the gradient of the layer scale gamma follows from that of its weight.
"""

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
from convnext_dense.kernels.triton.gelu import gelu_backward_
from convnext_dense.kernels.triton.grn import gelu_grn, gelu_grn_backward_
from convnext_dense.kernels.triton.launch import launching
from convnext_dense.kernels.triton.layer_scale import fold, unfold_gradients
from convnext_dense.kernels.triton.residual import add_branch, scale_and_sum


def mlp(
    shortcut: Tensor,
    y: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    gamma: Tensor | None,
    scale: float,
) -> Tensor:
    """Compute :func:`convnext_dense.kernels.reference.mlp`."""
    return _run(shortcut, y, w1, b1, None, None, 0.0, w2, b2, gamma, scale)


def grn_mlp(
    shortcut: Tensor,
    y: Tensor,
    w1: Tensor,
    b1: Tensor,
    grn_weight: Tensor,
    grn_bias: Tensor,
    grn_eps: float,
    w2: Tensor,
    b2: Tensor,
    gamma: Tensor | None,
    scale: float,
) -> Tensor:
    """Compute :func:`convnext_dense.kernels.reference.grn_mlp`."""
    return _run(shortcut, y, w1, b1, grn_weight, grn_bias, grn_eps, w2, b2, gamma, scale)


def _run(
    shortcut: Tensor,
    y: Tensor,
    w1: Tensor,
    b1: Tensor,
    grn_weight: Tensor | None,
    grn_bias: Tensor | None,
    grn_eps: float,
    w2: Tensor,
    b2: Tensor,
    gamma: Tensor | None,
    scale: float,
) -> Tensor:
    shortcut, y = shortcut.contiguous(), y.contiguous()
    inputs = (shortcut, y, w1, b1, grn_weight, grn_bias, grn_eps, w2, b2, gamma, scale)
    if is_recorded(inputs):
        return _MLP.apply(*inputs)
    return _forward(*inputs)[0]


def _forward(
    shortcut: Tensor,
    y: Tensor,
    w1: Tensor,
    b1: Tensor,
    grn_weight: Tensor | None,
    grn_bias: Tensor | None,
    grn_eps: float,
    w2: Tensor,
    b2: Tensor,
    gamma: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
    """Return the result, and what the backward pass needs beside the inputs.

    That is the weights in the type of ``y``, the first product's result, and the responses of GRN.
    """
    dtype = y.dtype
    rows = y.flatten(0, -2)
    with launching(y):
        w1, w2 = w1.to(dtype), w2.to(dtype)
        hidden = torch.addmm(b1.to(dtype), rows, w1.t())
        if grn_weight is None or grn_bias is None:
            activated, response = F.gelu(hidden), None
        else:
            samples = hidden.view(_samples(y, hidden))
            activated, response = gelu_grn(samples, grn_weight, grn_bias, grn_eps)
        branch = activated.view_as(hidden) @ w2.t()
        out = add_branch(shortcut.flatten(0, -2), branch, b2, gamma, scale)
    return out.view_as(shortcut), w1, w2, hidden, response


class _Context(Context, Protocol):
    grn_eps: float
    scale: float
    shortcut_dtype: torch.dtype


class _MLP(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: _Context,
        shortcut: Tensor,
        y: Tensor,
        w1: Tensor,
        b1: Tensor,
        grn_weight: Tensor | None,
        grn_bias: Tensor | None,
        grn_eps: float,
        w2: Tensor,
        b2: Tensor,
        gamma: Tensor | None,
        scale: float,
    ) -> Tensor:
        parameters = (w1, b1, grn_weight, grn_bias, grn_eps, w2, b2, gamma, scale)
        out, *kept = _forward(shortcut, y, *parameters)
        ctx.save_for_backward(y, w1, b1, grn_weight, grn_bias, w2, b2, gamma, *kept)
        ctx.shortcut_dtype = shortcut.dtype
        ctx.grn_eps = grn_eps
        ctx.scale = scale
        return out

    @staticmethod
    def backward(ctx: _Context, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_shortcut = grad.to(ctx.shortcut_dtype)
        if needs_reference(grad):
            grads = _differentiable_gradients(ctx, grad)
        else:
            with launching(grad):
                grads = _gradients(ctx, grad.contiguous())
        y, w1, b1, grn_weight, grn_bias, w2, b2, gamma = grads
        return grad_shortcut, y, w1, b1, grn_weight, grn_bias, None, w2, b2, gamma, None


def _gradients(ctx: _Context, grad: Tensor) -> list[Tensor | None]:
    """Return the gradients of y and of the parameters, in the order in which they were saved."""
    *inputs, w1_cast, w2_cast, hidden, response = ctx.saved_tensors
    y, _, _, grn_weight, grn_bias, w2, b2, gamma = inputs
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
    grads = (grad_y, grad_w1, grad_b1, *grad_grn, grad_w2, grad_b2, grad_gamma)
    return [None if g is None else g.to(t.dtype) for g, t in zip(grads, inputs, strict=True)]


def _samples(y: Tensor, hidden: Tensor) -> tuple[int, int, int]:
    return len(y), y.shape[1:-1].numel(), hidden.shape[1]


def _differentiable_gradients(ctx: _Context, grad: Tensor) -> list[Tensor | None]:
    """Return what :func:`_gradients` gives, by way of plain torch."""

    def plain(
        y: Tensor,
        w1: Tensor,
        b1: Tensor,
        grn_weight: Tensor | None,
        grn_bias: Tensor | None,
        w2: Tensor,
        b2: Tensor,
        gamma: Tensor | None,
    ) -> Tensor:
        # The shortcut's gradient does not depend on the shortcut, which is therefore not kept.
        shortcut = torch.zeros_like(y, dtype=ctx.shortcut_dtype)
        if grn_weight is None or grn_bias is None:
            return reference.mlp(shortcut, y, w1, b1, w2, b2, gamma, ctx.scale)
        return reference.grn_mlp(
            shortcut, y, w1, b1, grn_weight, grn_bias, ctx.grn_eps, w2, b2, gamma, ctx.scale
        )

    return reference_gradients(plain, ctx.saved_tensors[:8], grad)
