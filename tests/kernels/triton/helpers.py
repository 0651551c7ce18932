"""Comparison of the kernels with plain torch in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# Norm of the error over norm of the result.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}


def random(*shape: int, dtype: torch.dtype = torch.float32, std: float = 1.0) -> Tensor:
    """A leaf that wants a gradient, of shifted normal values."""
    values = torch.randn(shape, device=DEVICE) * std + 0.1 * std
    return values.to(dtype).requires_grad_()


def error(result: Tensor, expected: Tensor) -> float:
    """Relative error; 0 for empty tensors and where both are 0."""
    assert result.shape == expected.shape
    if not expected.any():
        return 0.0 if not result.any() else float("inf")
    difference = (result.double() - expected.double()).norm() / expected.double().norm()
    return float(difference.detach())


def gradients(
    function: Callable[..., Tensor], inputs: Sequence[Tensor | None], grad: Tensor
) -> tuple[Tensor, list[Tensor | None]]:
    """A function's result and the gradients of its inputs, None for an input that is None."""
    output = function(*inputs)
    wanted = [t for t in inputs if t is not None]
    grads = iter(torch.autograd.grad(output, wanted, grad.to(output.dtype)))
    return output, [None if t is None else next(grads) for t in inputs]


def exactly(inputs: Sequence[Tensor | None]) -> list[Tensor | None]:
    """The same leaves in float64."""
    return [None if t is None else t.detach().double().requires_grad_() for t in inputs]


def assert_equal(
    fast: Callable[..., Tensor],
    plain: Callable[..., Tensor],
    inputs: Sequence[Tensor | None],
    dtype: torch.dtype,
    loss_scale: float = 1.0,
) -> None:
    """Hold value and gradients of a fast path against plain torch in float64.

    Args:
        fast: Function of the inputs.
        plain: The same in plain torch.
        inputs: Leaves, or None.
        dtype: The type that the fast path computes in, which sets the tolerance.
        loss_scale: Size of the gradient that comes in.
    """
    shape = fast(*inputs).shape
    grad = torch.randn(shape, device=DEVICE) * loss_scale
    output, grads = gradients(fast, inputs, grad)
    expected, expected_grads = gradients(plain, exactly(inputs), grad.to(output.dtype).double())
    assert error(output, expected) < TOLERANCE[dtype]
    for i, (a, b) in enumerate(zip(grads, expected_grads, strict=True)):
        assert (a is None) == (b is None)
        if a is None:
            continue
        assert a.dtype == inputs[i].dtype
        assert a.stride() == inputs[i].stride(), f"gradient {i} has other strides"
        assert error(a, b) < TOLERANCE[dtype], f"gradient {i}"
