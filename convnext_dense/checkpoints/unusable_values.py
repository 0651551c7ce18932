"""Refuse parameters that a network cannot compute with, such as integers, NaN and infinity."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from convnext_dense.text import first_of

SHOWN = 3


def refuse_unusable(
    state: Mapping[str, Tensor], source: str, model: Mapping[str, Tensor] | None = None
) -> None:
    """Refuse integers, booleans and complex numbers instead of real ones, NaN and infinity.

    Args:
        state: Parameters and buffers by name.
        source: Name of the checkpoint in the message.
        model: Parameters and buffers of the model that takes them, which may hold integers and
            infinite constants. None if all values in ``state`` are parameters.

    Raises:
        RuntimeError: If a value is refused; the message names the parameters and their faults.
    """
    if faults := find_unusable(state, model):
        complaints = [f"{name} {fault}" for name, fault in faults.items()]
        raise RuntimeError(
            f"{source} is damaged, or its values are not weights: {first_of(complaints, SHOWN)}; "
            "get the file again"
        )


def find_unusable(
    state: Mapping[str, Tensor], model: Mapping[str, Tensor] | None = None
) -> dict[str, str]:
    """Return the faults of unusable parameters by name; see :func:`refuse_unusable`."""
    faults = {}
    for name, value in state.items():
        wanted = None if model is None else model.get(name)
        if (model is None or wanted is not None) and (fault := _fault(value, wanted)):
            faults[name] = fault
    return faults


def is_finite(value: Tensor) -> bool:
    """Whether no value of a floating-point tensor is NaN or infinite."""
    # A finite sum means finite values, and costs less than a mask. The sum may also overflow.
    return bool(value.sum().isfinite() or value.isfinite().all())


def _fault(value: Tensor, wanted: Tensor | None) -> str | None:
    if value.layout is not torch.strided:  # a sparse tensor would train in another way
        return f"is of layout {value.layout}"
    if wanted is not None and not wanted.is_floating_point():
        if value.is_floating_point() or value.is_complex():
            return f"is of {value.dtype} where the model has {wanted.dtype}"
        return None
    if not value.is_floating_point():
        return f"is of {value.dtype}"
    if value.is_meta:  # allowed if the model too is built without memory
        return None if wanted is not None and wanted.is_meta else "has a shape and no values"
    if value.numel() == 0:
        return None if wanted is not None and wanted.numel() == 0 else "is empty"
    if value.dtype.itemsize == 1:  # torch stores these types, but does not compute with them
        value = value.float()
    dtype = torch.float32 if wanted is None else wanted.dtype
    if not is_finite(value):
        if wanted is not None and not wanted.is_meta and torch.equal(value, wanted):
            return None
        count = value.numel() - int(value.isfinite().sum())
        return f"has {count} of {value.numel()} values that are not finite"
    largest = torch.finfo(dtype).max
    if torch.finfo(value.dtype).max > largest and value.abs().max() > largest:
        return f"has values beyond {dtype}"
    return None
