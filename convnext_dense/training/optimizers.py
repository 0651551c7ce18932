"""Find the optimizers of a run."""

from __future__ import annotations

from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch.optim import Optimizer


def optimizers_of(wrapper: OptimWrapper | OptimWrapperDict) -> list[Optimizer]:
    """Return the optimizers inside a run's wrapper."""
    wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
    return [one.optimizer for one in wrappers]
