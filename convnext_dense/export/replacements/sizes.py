"""Python's and torch's functions of numbers, for sizes that a trace must not fix.

While a model is traced, the size of a map is a tensor. ``int(size)`` would write the number of the
traced picture into the graph, and so would ``min(size, 100)``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from convnext_dense.export.replacements.replace import replaces

# A number, and a tensor of one while a model is traced.
Size: TypeAlias = Any


def is_traced(*values: Size) -> bool:
    """Whether one of several numbers is that of a trace, and may be another in each picture."""
    return torch.jit.is_tracing() and any(isinstance(value, Tensor) for value in values)


@replaces("mmseg.models.utils.wrappers:int")
def whole(original: Callable, value: Size) -> Size:
    """Return a size rounded towards zero."""
    return value.long() if is_traced(value) else original(value)


@replaces("math:ceil")
def ceil(original: Callable, value: Size) -> Size:
    """Return a quotient of sizes rounded up."""
    return value.ceil().long() if is_traced(value) else original(value)


@replaces("mmseg.models.decode_heads.point_head:min")
def least(original: Callable, *values: Size) -> Size:
    """Return the least of several sizes."""
    if is_traced(*values):
        return functools.reduce(torch.minimum, map(torch.as_tensor, values))
    return original(*values)


@replaces("mmseg.models.utils.embed:max", "mmdet.models.layers.transformer.utils:max")
def largest(original: Callable, *values: Size) -> Size:
    """Return the largest of several sizes."""
    if is_traced(*values):
        return functools.reduce(torch.maximum, map(torch.as_tensor, values))
    return original(*values)


@replaces("torch:linspace")
def linspace(original: Callable, start: Size, end: Size, steps: Size, **options: Size) -> Tensor:
    """Return ``steps`` numbers from ``start`` to ``end``; the exporter divides by 0 for one."""
    if not is_traced(start, end, steps):
        return original(start, end, steps, **options)
    return start + torch.arange(steps, **options) * ((end - start) / (steps - 1).clamp(min=1))


@replaces("mmcv.ops.cc_attention:NEG_INF_DIAG")
def negative_infinite_diagonal(original: Callable, n: Size, device: torch.device) -> Tensor:
    """Return a matrix (n, n) of zeros with -inf on its diagonal."""
    place = torch.arange(n, device=device)
    return torch.where(place[:, None] == place, -torch.inf, 0.0)


@replaces("torch:tensor", "torch:as_tensor")
def tensor_of(original: Callable, data: Size | Sequence, **options: Size) -> Tensor:
    """Return a tensor of sizes, such as of pairs of height and width."""
    if not torch.jit.is_tracing() or not isinstance(data, (list, tuple)) or not _holds_any(data):
        return original(data, **options)
    parts = [
        part if isinstance(part, Tensor) else tensor_of(original, part, **options) for part in data
    ]
    return torch.stack([part.to(**options) for part in parts])


def _holds_any(data: Sequence) -> bool:
    return any(
        _holds_any(part) if isinstance(part, (list, tuple)) else isinstance(part, Tensor)
        for part in data
    )
