"""Gradients of gradients, which the fast paths leave to plain torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


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
        inputs = [t if t is None else t.view_as(t) for t in inputs]
        wanted = [t for t in inputs if t is not None and t.requires_grad]
        output = function(*inputs)
        grads = iter(
            torch.autograd.grad(output, wanted, grad, create_graph=True, allow_unused=True)
        )
    return [next(grads) if t is not None and t.requires_grad else None for t in inputs]
