"""What the parts of a block compute, in plain torch.

Maps are (N, H, W, C). The fast paths have functions of the same names and arguments, are tested
against these, and fall back to them for gradients of gradients.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def depthwise_conv(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
    """Convolve each channel by itself and keep the size.

    Args:
        x: (N, H, W, C).
        weight: (C, 1, k, k), k odd.
        bias: (C,), or None for none.
        dilation: Distance between the taps.

    Returns:
        (N, H, W, C).
    """
    padding = dilation * (weight.shape[-1] // 2)
    y = F.conv2d(
        x.permute(0, 3, 1, 2),
        weight,
        bias,
        padding=padding,
        dilation=dilation,
        groups=weight.shape[0],
    )
    return y.permute(0, 2, 3, 1)


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Normalise the last dimension (arXiv 1607.06450)."""
    return F.layer_norm(x, weight.shape, weight, bias, eps)


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
    """Compute the first half of a block: depthwise convolution, then layer norm.

    Args:
        x: (N, H, W, C).
        conv_weight: (C, 1, k, k), k odd.
        conv_bias: (C,).
        dilation: Distance between the taps.
        norm_weight: (C,).
        norm_bias: (C,).
        eps: Added to the variance.
        dtype: The type that the block computes in; autocast's, where that is on.

    Returns:
        (N, H, W, C) in ``dtype``.
    """
    y = depthwise_conv(x.to(dtype), conv_weight.to(dtype), conv_bias.to(dtype), dilation)
    return layer_norm(y.to(norm_weight.dtype), norm_weight, norm_bias, eps).to(dtype)


def global_response_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Normalise a (N, H, W, C) map by its response over H and W (arXiv 2301.00808, section 3.3)."""
    # A half-precision norm over a large map would overflow.
    response = torch.linalg.vector_norm(
        x, dim=(1, 2), keepdim=True, dtype=torch.promote_types(x.dtype, torch.float32)
    )
    scale = response / (response.mean(dim=-1, keepdim=True) + eps)
    return x + weight * (x * scale.to(x.dtype)) + bias


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
    """Compute the second half of a block: two linear layers around a GELU, added to the shortcut.

    Args:
        shortcut: (N, H, W, C), what the block was given.
        y: (N, H, W, C), what its first half gave; its type is that of the products.
        w1: (4C, C).
        b1: (4C,).
        w2: (C, 4C).
        b2: (C,).
        gamma: Layer scale, (C,), or None for none.
        scale: What stochastic depth multiplies the branch with.

    Returns:
        (N, H, W, C), in the type that shortcut, branch and layer scale promote to.
    """
    hidden = F.gelu(F.linear(y, w1.to(y.dtype), b1.to(y.dtype)))
    return _add_branch(shortcut, hidden, w2, b2, gamma, scale)


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
    """Compute :func:`mlp` with global response normalisation after the GELU, as in a V2 block.

    Args:
        shortcut: As in :func:`mlp`, like all that is not listed here.
        grn_weight: (4C,).
        grn_bias: (4C,).
        grn_eps: Added to the mean response.
    """
    hidden = F.gelu(F.linear(y, w1.to(y.dtype), b1.to(y.dtype)))
    hidden = global_response_norm(hidden, grn_weight, grn_bias, grn_eps).to(y.dtype)
    return _add_branch(shortcut, hidden, w2, b2, gamma, scale)


def _add_branch(
    shortcut: Tensor, hidden: Tensor, w2: Tensor, b2: Tensor, gamma: Tensor | None, scale: float
) -> Tensor:
    branch = F.linear(hidden, w2.to(hidden.dtype), b2.to(hidden.dtype))
    if gamma is not None:
        branch = gamma * branch
    return shortcut + scale * branch
