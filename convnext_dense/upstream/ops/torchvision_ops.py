"""Chooses between torchvision's operators and the plain-torch ones of this package.

torchvision ships compiled kernels for a GPU, but needs a build that matches torch to the letter,
and is not always installed: its operators are probed, never assumed.
"""

from __future__ import annotations

import functools
from types import ModuleType

import torch


def torchvision_ops(device: torch.device) -> ModuleType | None:
    """torchvision's operators for tensors on ``device``.

    Every operator asks here and nowhere else. On the CPU the answer is None: torchvision's loops
    run on one thread there, and ours are faster. It is None in deterministic mode too, where
    torchvision's backward passes refuse to run since they add up in no fixed order.

    Args:
        device: where the operator's tensors lie.

    Returns:
        The namespace ``torch.ops.torchvision``, or None where plain torch is to be used.
    """
    if device.type == "cpu" or torch.are_deterministic_algorithms_enabled():
        return None
    return _probe(device.type)


@functools.cache
def _probe(device_type: str) -> ModuleType | None:
    try:
        import torchvision  # noqa: F401

        box = torch.tensor([[0.0, 0.0, 1.0, 1.0]], device=device_type)
        torch.ops.torchvision.nms(box, box[:, 0], 0.5)
    except Exception:  # a build for another torch fails in ways of its own at each of these steps
        return None
    return torch.ops.torchvision
