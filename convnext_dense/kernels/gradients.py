"""Which calls autograd records, and the backward passes that are left to plain torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import torch
from torch import Tensor


class Context(Protocol):
    """What autograd hands to both passes of a function, for which torch says ``Any``."""

    # A tensor that was saved as None is None here too.
    saved_tensors: tuple[Tensor, ...]
    needs_input_grad: tuple[bool, ...]

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for the backward pass."""


def is_recorded(inputs: Iterable[object]) -> bool:
    """Whether autograd wants the gradient of any of these inputs, tensors or not.

    Where it does not, a fast path keeps nothing, and calls no ``autograd.Function``, which costs
    time on each call.
    """
    return torch.is_grad_enabled() and any(
        isinstance(t, Tensor) and t.requires_grad for t in inputs
    )


def needs_reference(grad: Tensor) -> bool:
    """Whether a backward pass must go through plain torch.

    It must for gradients of gradients, for many gradients at once (``is_grads_batched``, which
    vectorised Jacobians use) and where something follows the operators one by one.
    """
    return (
        torch.is_grad_enabled()
        or torch._C._functorch.is_legacy_batchedtensor(grad)
        or torch._C._len_torch_dispatch_stack() > 0
    )


def reference_gradients(
    function: Callable[..., Tensor], inputs: Sequence[Tensor | None], grad: Tensor
) -> list[Tensor | None]:
    """Differentiate a plain function so that the gradients can be differentiated again.

    Args:
        function: What the fast path computes, in plain torch.
        inputs: Its arguments, as a backward pass has them saved; None where there is none.
        grad: Gradient of its result.

    Returns:
        One gradient per input, None for those that need none.
    """
    with torch.enable_grad():
        # Through views of their own: an input may have been computed from another one, whose
        # gradient here is only what this function passes on.
        views = [t if t is None else t.view_as(t) for t in inputs]
        wanted = [t for t in views if t is not None and t.requires_grad]
        if not wanted:
            return [None] * len(views)
        output = function(*views)
        grads = iter(
            torch.autograd.grad(output, wanted, grad, create_graph=True, allow_unused=True)
        )
    return [next(grads) if t is not None and t.requires_grad else None for t in views]
