"""Measure the machine's best rates: of matrix products, and of copying memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from convnext_dense.benchmark.timing import seconds


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes:
        side: Of the square matrices that are measured beside the network's own.
        copied_bytes: Much larger than any cache.
        patience: Seconds per measurement.
    """

    side: int
    copied_bytes: int
    patience: float = 0.2


EFFORTS = {"cpu": Effort(2048, 2**28), "cuda": Effort(8192, 2**30)}

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Ceiling:
    """The best rates that were measured.

    Attributes:
        matrix_rate: Operations per second, a multiply-add counting 2.
        operator: The operator that reached it.
        shape: M, K and N of its (M, K) x (K, N) product.
        copy_rate: Bytes per second, read and written ones counting both.
    """

    matrix_rate: float
    operator: str
    shape: Shape
    copy_rate: float


def measure_ceiling(device: torch.device, dtype: torch.dtype, shapes: list[Shape]) -> Ceiling:
    """Measure the fastest matrix product that is available, and the copy of a large tensor.

    Args:
        device: The device.
        dtype: The type of the matrices.
        shapes: (M, K, N) of the network's products. A large square is tried too.
    """
    effort = EFFORTS[device.type]
    side = effort.side
    best = max(
        (2 * m * k * n / fastest_call(product, device), operator, (m, k, n))
        for m, k, n in {*shapes, (side, side, side)}
        for operator, product in matrix_products(m, k, n, device, dtype)
    )
    size = effort.copied_bytes
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    copy = fastest_call(lambda: target.copy_(source), device)
    return Ceiling(*best, copy_rate=2 * size / copy)


def mlp_shapes(
    shape: tuple[int, int], batch: int, channels: tuple[int, ...], stem_stride: int
) -> list[Shape]:
    """Return (M, K, N) of the first linear layer of each stage's blocks, for images H x W."""
    height, width = shape
    return [
        (batch * (height // (stem_stride * 2**s)) * (width // (stem_stride * 2**s)), c, 4 * c)
        for s, c in enumerate(channels)
    ]


def matrix_products(
    m: int, k: int, n: int, device: torch.device, dtype: torch.dtype
) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield the operators that multiply (M, K) by (K, N), by name; some add a bias."""
    x = torch.randn(m, k, device=device, dtype=dtype)
    weight = torch.randn(n, k, device=device, dtype=dtype)
    bias = torch.randn(n, device=device, dtype=dtype)
    yield "torch.mm", lambda: torch.mm(x, weight.t())
    yield "F.linear", lambda: F.linear(x, weight, bias)
    if device.type == "cpu" and torch.backends.mkldnn.is_available():
        try:
            fused = torch.ops.mkldnn._linear_pointwise
            packed = torch.ops.mkldnn._reorder_linear_weight(weight, m)
            fused(x, packed, bias, "none", [], "")
        except (AttributeError, RuntimeError):
            return  # private operators, which another torch may not have
        yield "mkldnn._linear_pointwise", lambda: fused(x, weight, bias, "none", [], "")
        yield "mkldnn._linear_pointwise, packed", lambda: fused(x, packed, bias, "none", [], "")


def fastest_call(function: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of the fastest call among those that fit into the device's patience."""
    once = seconds(function, device)
    calls = min(max(int(EFFORTS[device.type].patience / once), 1), 100)
    # On a GPU a single call would time its launch.
    together = 10 if device.type == "cuda" else 1
    return min(seconds(function, device, together) for _ in range(calls))
