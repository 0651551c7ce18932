"""The two linear layers of a V2 block, with the global response norm (GRN) between them.

The norm needs the whole hidden map of a sample before any of it goes on, so each sample passes
twice, a few rows at a time.
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

# Elements that are squared at a time.
_SQUARES = 2**18


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
    tensors = (shortcut, y, w1, b1, grn_weight, grn_bias, w2, b2, gamma)
    with torch.autocast("cpu", enabled=False):
        if is_recorded(tensors):
            return _GRNMLP.apply(*tensors, grn_eps, scale)
        return _forward(*tensors, grn_eps, scale)


def _forward(
    shortcut: Tensor,
    y: Tensor,
    w1: Tensor,
    b1: Tensor,
    grn_weight: Tensor,
    grn_bias: Tensor,
    w2: Tensor,
    b2: Tensor,
    gamma: Tensor | None,
    grn_eps: float,
    scale: float,
) -> Tensor:
    dtype = y.dtype
    w1, w2, b1, b2 = packed(w1, dtype), packed(w2, dtype), b1.to(dtype), b2.to(dtype)
    out = empty_output(shortcut, y, gamma)
    for out_rows, y_rows, shortcut_rows in zip(*map(_samples, (out, y, shortcut)), strict=True):
        parts = list(chunks(y_rows))
        activated = [linear(y_rows[rows], w1, b1, gelu=True) for rows in parts]
        factor, _ = _factor(_response(activated), grn_weight, grn_eps)
        factor, shift = factor.to(dtype), grn_bias.to(dtype)
        for rows, part in zip(parts, activated, strict=True):
            branch = linear(torch.addcmul(shift, part, factor), w2, b2)
            add_branch(shortcut_rows[rows], branch, gamma, scale, out_rows[rows])
    return out


class _Context(Context, Protocol):
    parts: int
    grn_eps: float
    scale: float
    shortcut_dtype: torch.dtype


class _GRNMLP(torch.autograd.Function):
    """Saves the hidden map before the GELU, and the branch before its layer scale."""

    @staticmethod
    def forward(
        ctx: _Context,
        shortcut: Tensor,
        y: Tensor,
        w1: Tensor,
        b1: Tensor,
        grn_weight: Tensor,
        grn_bias: Tensor,
        w2: Tensor,
        b2: Tensor,
        gamma: Tensor | None,
        grn_eps: float,
        scale: float,
    ) -> Tensor:
        dtype = y.dtype
        w1_cast, b1_cast, w2_cast, b2_cast = (t.to(dtype) for t in (w1, b1, w2, b2))
        shift = grn_bias.to(dtype)
        out = empty_output(shortcut, y, gamma)
        kept: list[Tensor] = []
        responses = []
        for out_rows, y_rows, shortcut_rows in zip(*map(_samples, (out, y, shortcut)), strict=True):
            parts = list(chunks(y_rows))
            hidden = [linear(y_rows[rows], w1_cast, b1_cast) for rows in parts]
            activated = [F.gelu(part) for part in hidden]
            responses.append(_response(activated))
            factor = _factor(responses[-1], grn_weight, grn_eps)[0].to(dtype)
            for rows, before, part in zip(parts, hidden, activated, strict=True):
                branch = linear(torch.addcmul(shift, part, factor), w2_cast, b2_cast)
                add_branch(shortcut_rows[rows], branch, gamma, scale, out_rows[rows])
                kept += (before, branch)
        ctx.save_for_backward(
            y, w1, b1, grn_weight, grn_bias, w2, b2, gamma, w1_cast, w2_cast, *responses, *kept
        )
        ctx.parts = len(parts)
        ctx.grn_eps, ctx.scale = grn_eps, scale
        ctx.shortcut_dtype = shortcut.dtype
        return out

    @staticmethod
    def backward(ctx: _Context, grad: Tensor) -> tuple[Tensor | None, ...]:
        # Read once: a recomputed block (``with_cp``) gives them a single time.
        saved = ctx.saved_tensors
        grad_shortcut = grad.to(ctx.shortcut_dtype) if ctx.needs_input_grad[0] else None
        if needs_reference(grad):
            grads = reference_gradients(
                lambda y, w1, b1, weight, bias, w2, b2, gamma: reference.grn_mlp(
                    y.new_zeros((), dtype=grad.dtype),
                    y,
                    w1,
                    b1,
                    weight,
                    bias,
                    ctx.grn_eps,
                    w2,
                    b2,
                    gamma,
                    ctx.scale,
                ),
                saved[:8],
                grad,
            )
        else:
            with torch.autocast("cpu", enabled=False):
                grads = _gradients(ctx, saved, grad.contiguous())
        return grad_shortcut, *grads, None, None


def _gradients(ctx: _Context, saved: tuple[Tensor, ...], grad: Tensor) -> list[Tensor | None]:
    """Return the gradients of y and of the parameters, in the order in which they were saved.

    With the branch's gradient ``g`` and the map ``a`` after the GELU, all sums that GRN needs
    follow from ``G = g.T @ a``: no pass over a hidden map computes them.
    """
    y, w1, b1, grn_weight, grn_bias, w2, b2, gamma, w1_cast, w2_cast, *kept = saved
    responses, kept = kept[: len(y)], kept[len(y) :]
    scale = ctx.scale if gamma is None else gamma * ctx.scale
    w1_t, w2_t = w1_cast.t(), w2_cast.t()
    grad_y = torch.empty_like(y)
    sums = Sums()
    samples = zip(*map(_samples, (grad_y, y, grad)), responses, strict=True)
    for n, (grad_y_rows, y_rows, grad_rows, response) in enumerate(samples):
        mine = kept[2 * ctx.parts * n : 2 * ctx.parts * (n + 1)]
        hidden, branches = mine[::2], mine[1::2]
        parts = list(spans(hidden))
        sample = Sums()
        activated, outer = [], []
        for rows, before, branch in zip(parts, hidden, branches, strict=True):
            if gamma is not None:
                sums.add("gamma", (grad_rows[rows] * branch).sum(0, dtype=torch.float32))
            activated.append(F.gelu(before))
            outer.append((grad_rows[rows] * scale).to(y.dtype))
            sample.add("b2", outer[-1].sum(0))
            sample.add("w2", weight_gradient(outer[-1], activated[-1]))
        grad_b2, product = sample.total["b2"], sample.total["w2"]
        factor, relative = _factor(response, grn_weight, ctx.grn_eps)
        # Of the normed map: its sum over positions, and that of its product with the map.
        grad_sum, grad_dot = grad_b2 @ w2.float(), (w2 * product).sum(0)
        sums.add("b2", grad_b2)
        sums.add("w2", torch.addcmul(grad_b2[:, None] * grn_bias, product, factor))
        sums.add("grn_weight", grad_dot * relative)
        sums.add("grn_bias", grad_sum)
        slope = _slope(grn_weight * grad_dot, response, ctx.grn_eps).to(y.dtype)
        factor = factor.to(y.dtype)
        for rows, before, after, g in zip(parts, hidden, activated, outer, strict=True):
            inner = linear(g, w2_t).mul_(factor).addcmul_(after, slope)
            grad_hidden = torch.ops.aten.gelu_backward(inner, before)
            sums.add("b1", grad_hidden.sum(0))
            sums.add("w1", weight_gradient(grad_hidden, y_rows[rows]))
            grad_y_rows[rows] = linear(grad_hidden, w1_t)
    parameters = dict(w1=w1, b1=b1, grn_weight=grn_weight, grn_bias=grn_bias, w2=w2, b2=b2)
    grads = [sums.total[name].to(p.dtype).contiguous() for name, p in parameters.items()]
    grad_gamma = None
    if gamma is not None:
        grad_gamma = (sums.total["gamma"] * ctx.scale).to(gamma.dtype)
    return [grad_y, *grads, grad_gamma]


def _samples(x: Tensor) -> list[Tensor]:
    """Return each sample of (N, H, W, C) as (H * W, C)."""
    return list(x.view(len(x), -1, x.shape[-1]))


def _response(parts: list[Tensor]) -> Tensor:
    """Return the norm of each channel over the rows of all parts, in float32."""
    # torch.linalg.vector_norm over rows takes ten times as long. Small pieces, since memory that is
    # taken anew costs more than the arithmetic.
    rows = max(_SQUARES // parts[0].shape[1], 1)
    squares = [piece.float().square().sum(0) for part in parts for piece in part.split(rows)]
    return torch.stack(squares).sum(0).sqrt()


def _factor(response: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return what GRN multiplies each channel with, and the response relative to the mean one."""
    relative = response / (response.mean() + eps)
    return 1 + weight * relative, relative


def _slope(grad_relative: Tensor, response: Tensor, eps: float) -> Tensor:
    """Return the gradient through the response, as what each channel's map is multiplied with."""
    mean = response.mean() + eps
    through_mean = (grad_relative * response).sum() / (mean * mean * response.numel())
    grad_response = grad_relative / mean - through_mean
    return torch.where(response > 0, grad_response / response, 0.0)
