"""Whether the kernels run on a device, found out by running them once."""

from __future__ import annotations

import functools
import warnings

import torch
from torch import Tensor

from convnext_dense.kernels.parameters import BlockFunctions, ConvNormParameters, MLPParameters

# Kernels in bfloat16 need Ampere.
_MIN_CAPABILITY = (8, 0)
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# What values and gradients may differ from float32's, relative to the largest: rounding in bfloat16
# stays within a quarter of it, a kernel that was compiled wrongly does not.
_TOLERANCE = 5e-2
_CHANNELS = 32


def available(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the Triton kernels compile on a device and compute what plain torch computes.

    The first call for a device and a type compiles every kernel, which takes some seconds, and runs
    a block of V1 and one of V2, forward and backward. Triton keeps what it compiled on the disk for
    the next program, and later calls remember the outcome. Where the kernels should run but do not,
    it warns once and says why.

    Args:
        device: Where the tensors lie.
        dtype: The type that the block computes in: float32, bfloat16 or float16. Sums are made in
            float32, which is too little for float64.
    """
    if device.type != "cuda" or torch.version.hip is not None or dtype not in _DTYPES:
        return False
    index = torch.cuda.current_device() if device.index is None else device.index
    return _probe(index, dtype)


@functools.cache
def _probe(index: int, dtype: torch.dtype) -> bool:
    if torch.cuda.get_device_capability(index) < _MIN_CAPABILITY:
        return False
    try:
        error = _largest_error(torch.device("cuda", index), dtype)
    except Exception as failure:  # a missing compiler, driver or Triton each fails in its own way
        reason = f"they failed with {type(failure).__name__}: {failure}"
    else:
        if error <= _TOLERANCE:
            return True
        reason = f"their error is {error:.2g} of the largest value, above {_TOLERANCE}"
    name = str(dtype).removeprefix("torch.")
    warnings.warn(
        f"convnext_dense: the Triton kernels do not run in {name} on cuda:{index} and plain torch "
        f"is used instead, which is slower: {reason}",
        stacklevel=2,
    )
    return False


def _largest_error(device: torch.device, dtype: torch.dtype) -> float:
    """Return the largest error of a V1 and a V2 block against plain torch on the CPU.

    Relative to the largest value of each tensor; infinite where there is a NaN.
    """
    from convnext_dense.kernels import reference
    from convnext_dense.kernels.triton import operators

    # No user's gradient mode, inference mode or autocast is to change what a probe finds.
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast("cpu", enabled=False):
        expected = _values_and_gradients(reference, torch.device("cpu"), torch.float32)
        results = _values_and_gradients(operators, device, dtype)
    errors = [
        float((result.float().cpu() - plain).abs().max() / plain.abs().max())
        for result, plain in zip(results, expected, strict=True)
    ]
    return max(error if error == error else float("inf") for error in errors)


def _values_and_gradients(
    functions: BlockFunctions, device: torch.device, dtype: torch.dtype
) -> list[Tensor]:
    """Run both halves of both kinds of block, each time on the same random values."""
    generator = torch.Generator("cpu").manual_seed(0)

    def random(*shape: int, size: float = 1.0) -> Tensor:
        values = torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")
        return (values * size).to(device).requires_grad_()

    hidden = 4 * _CHANNELS
    x, vector, wide = random(1, 9, 10, _CHANNELS), random(_CHANNELS), random(hidden)
    taps = random(_CHANNELS, 1, 7, 7, size=0.2)
    w1, w2 = random(hidden, _CHANNELS, size=0.2), random(_CHANNELS, hidden, size=0.1)
    conv_norm = ConvNormParameters(taps, vector, vector, vector, dilation=1, eps=1e-6)
    mlp = MLPParameters(w1, wide, w2, vector)
    y = functions.conv_norm(x, conv_norm, dtype)
    v1 = functions.mlp(x, y, mlp._replace(gamma=vector), 1.0)
    v2 = functions.mlp(x, y, mlp._replace(grn_weight=wide, grn_bias=wide, grn_eps=1e-6), 1.0)
    outputs = [y, v1, v2]
    weights = [random(*output.shape).detach().to(output.dtype) for output in outputs]
    gradients = torch.autograd.grad(outputs, [x, taps, vector, wide, w1, w2], weights)
    return [*(output.detach() for output in outputs), *gradients]
