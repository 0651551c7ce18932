"""The two linear layers of a block, a few rows at a time so that the hidden map stays in cache.

Hidden maps are four times as wide as the block. Written out whole, they cost more time in memory
than they cost in arithmetic, above all in the first stages.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx

from convnext_dense.kernels import reference
from convnext_dense.kernels.double_backward import reference_gradients
from convnext_dense.kernels.onednn.linear import linear
from convnext_dense.kernels.onednn.packing import packed

# Of the hidden map, for each thread.
_CHUNK_BYTES = 4 * 2**20
_MIN_ROWS = 512


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
        if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in arguments):
            return _MLP.apply(*arguments, scale)
        return _forward(*arguments, scale)


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
    dtype = y.dtype
    with torch.autocast("cpu", enabled=False):
        hidden = F.gelu(_Linear.apply(y, w1.to(dtype), b1.to(dtype)))
        hidden = reference.global_response_norm(hidden, grn_weight, grn_bias, grn_eps)
        branch = _Linear.apply(hidden.to(dtype), w2.to(dtype), b2.to(dtype))
        if gamma is not None:
            branch = gamma * branch
        return torch.add(shortcut, branch, alpha=scale)


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
    out = _empty_output(shortcut, y, gamma)
    out_rows, y_rows, shortcut_rows = (t.view(-1, t.shape[-1]) for t in (out, y, shortcut))
    for rows in _chunks(y_rows):
        branch = linear(linear(y_rows[rows], w1, b1, gelu=True), w2, b2)
        _add_branch(shortcut_rows[rows], branch, gamma, scale, out_rows[rows])
    return out


class _MLP(torch.autograd.Function):
    """Saves the hidden map before the GELU, and the branch before its layer scale."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
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
        out = _empty_output(shortcut, y, gamma)
        out_rows, y_rows, shortcut_rows = (t.view(-1, t.shape[-1]) for t in (out, y, shortcut))
        chunks = []
        for rows in _chunks(y_rows):
            hidden = linear(y_rows[rows], w1_cast, b1_cast)
            branch = linear(F.gelu(hidden), w2_cast, b2_cast)
            _add_branch(shortcut_rows[rows], branch, gamma, scale, out_rows[rows])
            chunks += (hidden, branch)
        ctx.save_for_backward(y, w1, b1, w2, b2, gamma, w1_cast, w2_cast, *chunks)
        ctx.scale = scale
        ctx.shortcut_dtype = shortcut.dtype
        return out

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        y, w1, b1, w2, b2, gamma, w1_cast, w2_cast, *chunks = ctx.saved_tensors
        grad_shortcut = grad.to(ctx.shortcut_dtype) if ctx.needs_input_grad[0] else None
        if torch.is_grad_enabled():
            grads = reference_gradients(
                lambda *arguments: reference.mlp(grad.new_zeros(()), *arguments, ctx.scale),
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
            sums = _Sums()
            start = 0
            for hidden, branch in zip(chunks[::2], chunks[1::2], strict=True):
                rows = slice(start, start + len(hidden))
                start = rows.stop
                if gamma is not None:
                    sums.add("gamma", (grad_rows[rows] * branch).sum(0, dtype=torch.float32))
                grad_branch = (grad_rows[rows] * scale).to(y.dtype)
                sums.add("b2", grad_branch.sum(0, dtype=torch.float32))
                sums.add("w2", _weight_gradient(grad_branch, F.gelu(hidden)))
                grad_hidden = torch.ops.aten.gelu_backward(linear(grad_branch, w2_t), hidden)
                sums.add("b1", grad_hidden.sum(0, dtype=torch.float32))
                sums.add("w1", _weight_gradient(grad_hidden, y_rows[rows]))
                grad_y_rows[rows] = linear(grad_hidden, w1_t)
            parameters = dict(w1=w1, b1=b1, w2=w2, b2=b2)
            grads = [sums.total[name].to(p.dtype) for name, p in parameters.items()]
            grad_gamma = None
            if gamma is not None:
                grad_gamma = (sums.total["gamma"] * ctx.scale).to(gamma.dtype)
        return grad_shortcut, grad_y, *grads, grad_gamma, None


class _Linear(torch.autograd.Function):
    """A linear layer on (N, H, W, in) maps, with all three products through oneDNN."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, bias)
        rows = linear(x.reshape(-1, x.shape[-1]), weight, bias)
        return rows.view(*x.shape[:-1], weight.shape[0])

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias = ctx.saved_tensors
        if torch.is_grad_enabled():
            return tuple(reference_gradients(F.linear, (x, weight, bias), grad))
        grad_rows = grad.reshape(-1, grad.shape[-1])
        grad_x = grad_weight = grad_bias = None
        with torch.autocast("cpu", enabled=False):
            if ctx.needs_input_grad[0]:
                grad_x = linear(grad_rows, weight.t()).view(x.shape)
            if ctx.needs_input_grad[1]:
                grad_weight = _weight_gradient(grad_rows, x.reshape(-1, x.shape[-1]))
            if ctx.needs_input_grad[2]:
                grad_bias = grad_rows.sum(0)
        return grad_x, grad_weight, grad_bias


def _weight_gradient(grad: Tensor, x: Tensor) -> Tensor:
    """Give ``grad.T @ x`` for (rows, out) and (rows, in)."""
    # Torch's own bfloat16 product is oneDNN's already, and faster where an operand is transposed.
    if grad.dtype == torch.bfloat16:
        return grad.t() @ x
    return linear(grad.t(), x.t())


def _chunks(y: Tensor) -> Iterator[slice]:
    """Cut (rows, C) so that each part's hidden map fits in the cache of the threads at work.

    There is one part at least, empty where the map is.
    """
    hidden_bytes = 4 * y.shape[1] * y.element_size()
    rows = max(_CHUNK_BYTES // hidden_bytes, _MIN_ROWS) * torch.get_num_threads()
    for start in range(0, max(y.shape[0], 1), rows):
        yield slice(start, start + rows)


def _empty_output(shortcut: Tensor, y: Tensor, gamma: Tensor | None) -> Tensor:
    dtype = torch.promote_types(shortcut.dtype, y.dtype)
    if gamma is not None:
        dtype = torch.promote_types(dtype, gamma.dtype)
    return torch.empty_like(shortcut, dtype=dtype)


def _add_branch(
    shortcut: Tensor, branch: Tensor, gamma: Tensor | None, scale: float, out: Tensor
) -> None:
    if gamma is None:
        torch.add(shortcut, branch, alpha=scale, out=out)
    else:
        # Mixed types would be converted whole, and slowly, inside.
        shortcut, branch, gamma = (t.to(out.dtype) for t in (shortcut, branch, gamma))
        torch.addcmul(shortcut, branch, gamma, value=scale, out=out)


class _Sums:
    """The chunks' gradients of each parameter, summed in float32."""

    def __init__(self) -> None:
        self.total: dict[str, Tensor] = {}

    def add(self, name: str, part: Tensor) -> None:
        if name in self.total:
            self.total[name] += part
        else:
            self.total[name] = part.float()
