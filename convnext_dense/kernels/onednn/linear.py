"""Linear layers through oneDNN, with an optional GELU in the same pass."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from convnext_dense.kernels.packed_weights import PackedWeights

# What the probe may differ from plain torch, relative to the largest value.
_TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
# oneDNN chooses its layout by the rows of the input; beyond some hundreds it stays the same.
_ROWS_TO_PACK_FOR = 1024


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, gelu: bool = False) -> Tensor:
    """Compute ``x @ weight.T + bias``, then an exact GELU where asked.

    Args:
        x: (rows, in), of any strides.
        weight: (out, in), of any strides or from :func:`inference_weight`; of the type of ``x``.
        bias: (out,).
        gelu: Whether to apply the GELU in the same pass.

    Returns:
        (rows, out). No gradient is recorded.
    """
    operator = torch.ops.mkldnn._linear_pointwise
    if gelu:
        return operator(x, weight, bias, "gelu", [], "none")
    return operator(x, weight, bias, "none", [], "")


def weight_gradient(grad: Tensor, x: Tensor) -> Tensor:
    """Return ``grad.T @ x`` for (rows, out) and (rows, in)."""
    # Torch's own bfloat16 product is oneDNN's already, and faster where an operand is transposed.
    if grad.dtype == torch.bfloat16:
        return grad.t() @ x
    # Its first operand is laid out anew: better the narrower one, unless there are so few rows that
    # turning the result around costs more.
    if grad.shape[1] > x.shape[1] and len(x) > x.shape[1]:
        return linear(x.t(), grad.t()).t()
    return linear(grad.t(), x.t())


def inference_weight(
    name: str, weight: Tensor, dtype: torch.dtype, packed: PackedWeights | None
) -> Tensor:
    """Return a weight in the type and layout that is fastest for inference.

    Args:
        name: One for each weight of the block.
        weight: (out, in).
        dtype: The type that the product computes in.
        packed: Where the block keeps its weights, or None.

    Returns:
        A tensor for :func:`linear`, and for that alone.
    """
    # Laid out plainly, float32 weights are as fast within a few per cent, and cost no memory.
    if packed is None or dtype != torch.bfloat16:
        return weight.to(dtype)
    ready = packed.get(name, weight, lambda weight: _pack(weight.to(dtype)))
    return weight.to(dtype) if ready is None else ready


def _pack(weight: Tensor) -> Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS_TO_PACK_FOR)


def available(dtype: torch.dtype) -> bool:
    """Whether the operators exist and compute what plain torch computes in this type."""
    return (
        dtype in _TOLERANCE
        and torch.backends.mkldnn.is_available()
        and torch._C._get_mkldnn_enabled()
        and _probe(dtype)
    )


@cache
def _probe(dtype: torch.dtype) -> bool:
    if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    # On the CPU whatever the default device is.
    x = torch.linspace(-2, 2, 64 * 32, device="cpu").view(64, 32).to(dtype)
    weight = torch.linspace(-1, 1, 48 * 32, device="cpu").view(48, 32).to(dtype)
    bias = torch.linspace(-1, 1, 48, device="cpu").to(dtype)
    plain = F.linear(x, weight, bias)
    try:
        results = [
            (linear(x, weight, bias), plain),
            (linear(x, weight, bias, gelu=True), F.gelu(plain)),
            (linear(x, _pack(weight), bias, gelu=True), F.gelu(plain)),
            (linear(x.t(), plain.t()), x.t() @ plain),
        ]
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    return all(
        (fast.float() - slow.float()).abs().max() <= _TOLERANCE[dtype] * slow.float().abs().max()
        for fast, slow in results
    )
