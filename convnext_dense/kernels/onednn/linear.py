"""Linear layers through oneDNN, with an optional GELU in the same pass."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

# What the probe may differ from plain torch, relative to the largest value.
_TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, gelu: bool = False) -> Tensor:
    """Compute ``x @ weight.T + bias``, then an exact GELU where asked.

    Args:
        x: (rows, in), of any strides.
        weight: (out, in), of any strides or packed by :func:`pack`; of the type of ``x``.
        bias: (out,).
        gelu: Whether to apply the GELU in the same pass.

    Returns:
        (rows, out). No gradient is recorded.
    """
    operator = torch.ops.mkldnn._linear_pointwise
    if gelu:
        return operator(x, weight, bias, "gelu", [], "none")
    return operator(x, weight, bias, "none", [], "")


def pack(weight: Tensor, rows: int) -> Tensor:
    """Lay a weight out as oneDNN wants it for inputs of about this many rows."""
    return torch.ops.mkldnn._reorder_linear_weight(weight, rows)


def available(dtype: torch.dtype) -> bool:
    """Return whether the operators are there and give what plain torch gives in this type."""
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
            (linear(x, pack(weight, len(x)), bias, gelu=True), F.gelu(plain)),
            (linear(x.t(), plain.t()), x.t() @ plain),
        ]
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    return all(
        (fast.float() - slow.float()).abs().max() <= _TOLERANCE[dtype] * slow.float().abs().max()
        for fast, slow in results
    )
