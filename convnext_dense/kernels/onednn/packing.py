"""Weights as the products of inference want them, kept for as long as they do not change.

Under autocast each forward pass casts every weight, and each product lays it out anew. Both are
done once here.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from convnext_dense.kernels.onednn.linear import pack

# oneDNN chooses its layout by the rows of the input; beyond some hundreds it stays the same.
_ROWS = 1024


@dataclass
class _Entry:
    version: int
    pointer: int
    sample: Tensor
    ready: Tensor | None = None


_entries = WeakTensorKeyDictionary()


def packed(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a weight of a linear layer in the type and layout that is fastest for inference.

    What is kept follows the weight: torch counts changes, and moves of its memory show. A change
    that torch does not count (through ``.data``, as averaging and pruning make it) shows in a
    sample of its values, one at least of each row and column; a few single values can escape. A
    weight is packed when it is seen for the second time without a change, so that weights which
    change at every step are not packed in vain.

    Args:
        weight: (out, in).
        dtype: The type that the product computes in.

    Returns:
        A tensor for :func:`convnext_dense.kernels.onednn.linear.linear`, and for that alone.
    """
    # Laid out plainly, float32 weights are as fast within a few per cent, and cost no memory.
    if dtype != torch.bfloat16 or weight.is_inference():
        return weight.to(dtype)
    values = weight.detach().reshape(-1)
    # Beside the width, so that each row and each column has one.
    sample = values[:: max(min(weight.shape) - 1, 1)]
    entry = _entries.get(weight)
    if (
        entry is None
        or entry.version != weight._version
        or entry.pointer != weight.data_ptr()
        or not torch.equal(entry.sample, sample)
    ):
        _entries[weight] = _Entry(weight._version, weight.data_ptr(), sample.clone())
        return weight.to(dtype)
    if entry.ready is None:
        entry.ready = pack(weight.detach().to(dtype), _ROWS)
    return entry.ready
