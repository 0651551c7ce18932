"""The two linear layers of a block, a few rows at a time so that the hidden map stays in cache.

Hidden maps are four times as wide as the block. Written out whole, they cost more time in memory
than they cost in arithmetic, above all in the first stages.
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
from convnext_dense.kernels.onednn.chunks import (
    Sums,
    add_branch,
    chunks,
    empty_output,
    spans,
    weight_gradient,
)
from convnext_dense.kernels.onednn.linear import linear
from convnext_dense.kernels.onednn.packing import packed


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
    arguments = (shortcut, y, w1, b1, w2, b2, gamma)
    with torch.autocast("cpu", enabled=False):
        if is_recorded(arguments):
            return _MLP.apply(*arguments, scale)
        return _forward(*arguments, scale)


def _forward(
    shortcut: Tensor,
    y: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    gamma: Tensor | None,
    scale: float,
) -> Tensor:
    dtype = y.dtype
    w1, w2, b1, b2 = packed(w1, dtype), packed(w2, dtype), b1.to(dtype), b2.to(dtype)
    out = empty_output(shortcut, y, gamma)
    out_rows, y_rows, shortcut_rows = (t.view(-1, t.shape[-1]) for t in (out, y, shortcut))
    for rows in chunks(y_rows):
        branch = linear(linear(y_rows[rows], w1, b1, gelu=True), w2, b2)
        add_branch(shortcut_rows[rows], branch, gamma, scale, out_rows[rows])
    return out


class _Context(Context, Protocol):
    scale: float
    shortcut_dtype: torch.dtype


class _MLP(torch.autograd.Function):
    """Saves the hidden map before the GELU, and the branch before its layer scale."""

    @staticmethod
    def forward(
        ctx: _Context,
        shortcut: Tensor,
        y: Tensor,
        w1: Tensor,
        b1: Tensor,
        w2: Tensor,
        b2: Tensor,
        gamma: Tensor | None,
        scale: float,
    ) -> Tensor:
        w1_cast, b1_cast, w2_cast, b2_cast = (t.to(y.dtype) for t in (w1, b1, w2, b2))
        out = empty_output(shortcut, y, gamma)
        out_rows, y_rows, shortcut_rows = (t.view(-1, t.shape[-1]) for t in (out, y, shortcut))
        kept: list[Tensor] = []
        for rows in chunks(y_rows):
            hidden = linear(y_rows[rows], w1_cast, b1_cast)
            branch = linear(F.gelu(hidden), w2_cast, b2_cast)
            add_branch(shortcut_rows[rows], branch, gamma, scale, out_rows[rows])
            kept += (hidden, branch)
        ctx.save_for_backward(y, w1, b1, w2, b2, gamma, w1_cast, w2_cast, *kept)
        ctx.scale = scale
        ctx.shortcut_dtype = shortcut.dtype
        return out

    @staticmethod
    def backward(ctx: _Context, grad: Tensor) -> tuple[Tensor | None, ...]:
        y, w1, b1, w2, b2, gamma, w1_cast, w2_cast, *kept = ctx.saved_tensors
        grad_shortcut = grad.to(ctx.shortcut_dtype) if ctx.needs_input_grad[0] else None
        if needs_reference(grad):
            grads = reference_gradients(
                lambda y, w1, b1, w2, b2, gamma: reference.mlp(
                    y.new_zeros((), dtype=grad.dtype), y, w1, b1, w2, b2, gamma, ctx.scale
                ),
                (y, w1, b1, w2, b2, gamma),
                grad,
            )
            return grad_shortcut, *grads, None
        with torch.autocast("cpu", enabled=False):
            scale = ctx.scale if gamma is None else gamma * ctx.scale
            w1_t, w2_t = w1_cast.t(), w2_cast.t()
            grad = grad.contiguous()
            grad_y = torch.empty_like(y)
            grad_y_rows, y_rows, grad_rows = (t.view(-1, t.shape[-1]) for t in (grad_y, y, grad))
            sums = Sums()
            for rows, hidden, branch in zip(spans(kept[::2]), kept[::2], kept[1::2], strict=True):
                if gamma is not None:
                    sums.add("gamma", (grad_rows[rows] * branch).sum(0, dtype=torch.float32))
                grad_branch = (grad_rows[rows] * scale).to(y.dtype)
                sums.add("b2", grad_branch.sum(0))
                sums.add("w2", weight_gradient(grad_branch, F.gelu(hidden)))
                grad_hidden = torch.ops.aten.gelu_backward(linear(grad_branch, w2_t), hidden)
                sums.add("b1", grad_hidden.sum(0))
                sums.add("w1", weight_gradient(grad_hidden, y_rows[rows]))
                grad_y_rows[rows] = linear(grad_hidden, w1_t)
            parameters = dict(w1=w1, b1=b1, w2=w2, b2=b2)
            grads = [sums.total[name].to(p.dtype).contiguous() for name, p in parameters.items()]
            grad_gamma = None
            if gamma is not None:
                grad_gamma = (sums.total["gamma"] * ctx.scale).to(gamma.dtype)
        return grad_shortcut, grad_y, *grads, grad_gamma, None
