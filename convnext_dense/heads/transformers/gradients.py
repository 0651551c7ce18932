"""Connect every trained parameter to the loss, also in a batch that leaves some unused."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


@torch.compiler.disable
def reach_all(losses: dict[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """Add zero times each unused parameter to a loss.

    Ranks otherwise wait for gradients that do not come, as of the denoising embedding in a batch
    without boxes, unless a run sets ``find_unused_parameters``, which costs more.

    Args:
        losses: Losses by name.
        module: The model that is trained.
    """
    left = unused(losses.values(), module)
    if not left:
        return losses
    name = next(iter(losses))
    return {**losses, name: losses[name] + 0 * sum(parameter.sum() for parameter in left)}


def unused(losses: Iterable[Tensor], module: nn.Module) -> list[nn.Parameter]:
    """Return the trained parameters of a module that get no gradient from some losses."""
    nodes = [loss.grad_fn for loss in losses if loss.grad_fn is not None]
    seen = set(nodes)
    reached = set()
    while nodes:
        node = nodes.pop()
        reached.add(id(getattr(node, "variable", None)))
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                nodes.append(following)
    return [p for p in module.parameters() if p.requires_grad and id(p) not in reached]
