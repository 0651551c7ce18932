"""What the parts of a block compute, in plain torch.

Maps are (N, H, W, C). The fast paths have ``conv_norm`` and ``mlp`` with the same arguments, are
tested against these, and fall back to them for gradients of gradients.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from convnext_dense.kernels.parameters import ConvNormParameters, MLPParameters


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


def global_response_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Normalise a (N, H, W, C) map by its response over H and W (arXiv 2301.00808, section 3.3)."""
    # A half-precision norm over a large map would overflow.
    response = torch.linalg.vector_norm(
        x, dim=(1, 2), keepdim=True, dtype=torch.promote_types(x.dtype, torch.float32)
    )
    scale = response / (response.mean(dim=-1, keepdim=True) + eps)
    return x + weight * (x * scale.to(x.dtype)) + bias


def conv_norm(x: Tensor, parameters: ConvNormParameters, dtype: torch.dtype) -> Tensor:
    """Compute the first half of a block: depthwise convolution, then layer norm.

    Args:
        x: What the block is given, (N, H, W, C).
        parameters: Of this half.
        dtype: The type that the block computes in; autocast's, where that is on.

    Returns:
        (N, H, W, C) in ``dtype``.
    """
    weight, bias, norm_weight, norm_bias, dilation, eps = parameters
    y = depthwise_conv(x.to(dtype), weight.to(dtype), bias.to(dtype), dilation)
    return layer_norm(y.to(norm_weight.dtype), norm_weight, norm_bias, eps).to(dtype)


def mlp(shortcut: Tensor, y: Tensor, parameters: MLPParameters, scale: float) -> Tensor:
    """Compute the second half of a block: two linear layers around a GELU, added to the shortcut.

    In a V2 block global response normalisation follows the GELU.

    Args:
        shortcut: What the block is given, (N, H, W, C).
        y: What its first half gives, (N, H, W, C); its type is that of the products.
        parameters: Of this half.
        scale: What stochastic depth multiplies the branch with.

    Returns:
        (N, H, W, C), in the type that shortcut, branch and layer scale promote to.
    """
    w1, b1, w2, b2, gamma = parameters[:5]
    dtype = y.dtype
    hidden = F.gelu(F.linear(y, w1.to(dtype), b1.to(dtype)))
    if parameters.grn is not None:
        hidden = global_response_norm(hidden, *parameters.grn).to(dtype)
    branch = F.linear(hidden, w2.to(dtype), b2.to(dtype))
    if gamma is not None:
        branch = gamma * branch
    return shortcut + scale * branch
