"""Layer scale as a part of the second linear layer, for the backward pass.

``gamma * (a @ w2.T + b2)`` is ``a @ (gamma * w2).T + gamma * b2``. With ``G = grad.T @ a`` the
gradient of w2 is ``gamma * G``, and that of gamma is the sum of ``w2 * G`` over each row plus b2
times the sum of grad. So the branch itself need not be kept for gamma's gradient.
"""

# Triton reads a kernel's annotations itself, so they stay objects; types it takes from the call.
# ruff: noqa: ANN001

import torch
import triton
import triton.language as tl
from torch import Tensor

_COLUMNS = 1024


def fold(w2: Tensor, gamma: Tensor, scale: float, dtype: torch.dtype) -> Tensor:
    """Return ``scale * gamma * w2`` in ``dtype``.

    Args:
        w2: (C, columns).
        gamma: (C,).
        scale: What stochastic depth multiplies the branch with.
        dtype: Of the result; the product is made in the parameters' type.
    """
    out = torch.empty_like(w2, dtype=dtype)
    return torch.mul(w2, (scale * gamma)[:, None], out=out)


def unfold_gradients(
    product: Tensor, grad_sum: Tensor, w2: Tensor, b2: Tensor, gamma: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of w2, b2 and gamma, in their types.

    Args:
        product: G, (C, columns), contiguous.
        grad_sum: Gradient of the scaled branch summed over the rows, (C,), float32.
        w2: (C, columns), like ``b2``, ``gamma`` and ``scale`` as in :func:`fold`.
    """
    grad_w2, grad_b2, grad_gamma = (
        torch.empty_like(t, memory_format=torch.contiguous_format) for t in (w2, b2, gamma)
    )
    channels, columns = product.shape
    _unfold_layer_scale[(channels,)](
        product,
        grad_sum,
        w2.contiguous(),
        b2,
        gamma,
        grad_w2,
        grad_b2,
        grad_gamma,
        scale,
        columns,
        COLUMNS=_COLUMNS,
    )
    return grad_w2, grad_b2, grad_gamma


@triton.jit
def _unfold_layer_scale(
    product, grad_sum, w2, b2, gamma, grad_w2, grad_b2, grad_gamma, scale, columns,
    COLUMNS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    factor = scale * tl.load(gamma + row).to(tl.float32)
    outer = tl.load(grad_sum + row)
    total = tl.zeros([COLUMNS], tl.float32)
    for first in range(0, columns, COLUMNS):
        c = first + tl.arange(0, COLUMNS)
        at = row * columns + c
        value = tl.load(product + at, mask=c < columns, other=0.0).to(tl.float32)
        weight = tl.load(w2 + at, mask=c < columns, other=0.0).to(tl.float32)
        tl.store(grad_w2 + at, value * factor, mask=c < columns)
        total += value * weight
    tl.store(grad_b2 + row, outer * factor)
    through_bias = tl.load(b2 + row).to(tl.float32) * outer
    tl.store(grad_gamma + row, scale * (tl.sum(total, axis=0) + through_bias))
