"""Choose between torchvision's operators and the plain-torch ones of this package.

torchvision has compiled kernels for a GPU, but its build must match torch exactly, and it is not
always installed. So its operators are tried before they are used.
"""

from __future__ import annotations

import functools
from types import ModuleType

import torch


def torchvision_ops(device: torch.device) -> ModuleType | None:
    """Return torchvision's operators for tensors on ``device``, or None.

    Every operator uses this function. On the CPU it returns None, since torchvision's loops run on
    one thread there, and ours are faster. It also returns None in deterministic mode, where
    torchvision's backward passes refuse to run, since the order of their sums is not fixed.

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
    except Exception:  # a build for another torch may raise any error at each of these steps
        return None
    return torch.ops.torchvision
