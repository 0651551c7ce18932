"""What the blocks of V1 and V2 share: rows cut to fit the cache, and what each part meets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from convnext_dense.kernels.onednn.linear import linear

# Of the hidden map, for each thread.
_CHUNK_BYTES = 4 * 2**20
_MIN_ROWS = 512


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


def chunks(y: Tensor) -> Iterator[slice]:
    """Cut (rows, C) so that each part's hidden map fits in the cache of the threads at work."""
    hidden_bytes = 4 * y.shape[1] * y.element_size()
    rows = max(_CHUNK_BYTES // hidden_bytes, _MIN_ROWS) * torch.get_num_threads()
    parts = math.ceil(y.shape[0] / rows)
    # Of one size, so that no part is left with a few rows.
    rows = math.ceil(y.shape[0] / parts)
    for start in range(0, y.shape[0], rows):
        yield slice(start, start + rows)


def spans(parts: Sequence[Tensor]) -> Iterator[slice]:
    """Yield the rows that each part was cut from.

    The backward pass asks the parts that it has kept: the number of threads may have changed.
    """
    start = 0
    for part in parts:
        yield slice(start, start + len(part))
        start += len(part)


def empty_output(shortcut: Tensor, y: Tensor, gamma: Tensor | None) -> Tensor:
    """Make room for the block's result, in the type that its parts promote to."""
    dtype = torch.promote_types(shortcut.dtype, y.dtype)
    if gamma is not None:
        dtype = torch.promote_types(dtype, gamma.dtype)
    return torch.empty_like(shortcut, dtype=dtype)


def add_branch(
    shortcut: Tensor, branch: Tensor, gamma: Tensor | None, scale: float, out: Tensor
) -> None:
    """Write ``shortcut + scale * gamma * branch``, all (rows, C), to ``out``."""
    if gamma is None:
        torch.add(shortcut, branch, alpha=scale, out=out)
    else:
        # Mixed types would be converted whole, and slowly, inside.
        shortcut, branch, gamma = (t.to(out.dtype) for t in (shortcut, branch, gamma))
        torch.addcmul(shortcut, branch, gamma, value=scale, out=out)


class Sums:
    """The chunks' gradients of each parameter, summed in float32."""

    def __init__(self) -> None:
        self.total: dict[str, Tensor] = {}

    def add(self, name: str, part: Tensor) -> None:
        """Add a chunk's share to the sum of this name."""
        if name in self.total:
            self.total[name] += part
        else:
            self.total[name] = part.float()
