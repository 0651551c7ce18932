"""Whether the kernels run on a device, found out once by running them."""

from __future__ import annotations

import functools
import warnings

import torch

# Kernels in bfloat16 need Ampere.
_MIN_CAPABILITY = (8, 0)
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# What the probe may differ from plain torch by, relative to the largest value.
_TOLERANCE = 1e-3


def available(device: torch.device, dtype: torch.dtype) -> bool:
    """Tell whether the Triton kernels compile on a device and give what plain torch gives.

    The first call for a device compiles two kernels; later ones remember. Where they should run but
    do not, it warns once and says why.

    Args:
        device: Where the tensors lie.
        dtype: The type that the block computes in: float32, bfloat16 or float16. Sums are made in
            float32, which is too little for float64.
    """
    if device.type != "cuda" or torch.version.hip is not None or dtype not in _DTYPES:
        return False
    index = torch.cuda.current_device() if device.index is None else device.index
    return _probe(index)


@functools.cache
def _probe(index: int) -> bool:
    if torch.cuda.get_device_capability(index) < _MIN_CAPABILITY:
        return False
    try:
        error = _largest_error(torch.device("cuda", index))
    except Exception as failure:  # a missing compiler, driver or Triton each fails in its own way
        reason = f"they failed with {type(failure).__name__}: {failure}"
    else:
        if error <= _TOLERANCE:
            return True
        reason = f"their error is {error:.2g} of the largest value, above {_TOLERANCE}"
    warnings.warn(
        f"convnext_dense: the Triton kernels do not run on cuda:{index} and plain torch is used "
        f"instead, which is slower: {reason}",
        stacklevel=2,
    )
    return False


def _largest_error(device: torch.device) -> float:
    """Compare a convolution and a norm with plain torch on the CPU; NaN counts as infinite."""
    from convnext_dense.kernels import reference
    from convnext_dense.kernels.triton import operators

    def ramp(*shape: int) -> torch.Tensor:
        return torch.linspace(-1, 1, torch.Size(shape).numel()).sin().view(shape)

    # No user's gradient or inference mode is to change what a probe finds.
    with torch.inference_mode(False), torch.no_grad():
        x, conv_weight, vector = ramp(1, 9, 10, 32), ramp(32, 1, 7, 7), ramp(32)
        expected = reference.conv_norm(
            x, conv_weight, vector, 1, vector, vector, 1e-6, torch.float32
        )
        x, conv_weight, vector = (t.to(device) for t in (x, conv_weight, vector))
        result = operators.conv_norm(
            x, conv_weight, vector, 1, vector, vector, 1e-6, torch.float32
        ).cpu()
    error = float((result - expected).abs().max() / expected.abs().max())
    return error if error == error else float("inf")
