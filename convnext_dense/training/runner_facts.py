"""Read from mmengine's runner what several hooks and reports ask for."""

from __future__ import annotations

from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import IterBasedTrainLoop, Runner
from mmengine.runner.base_loop import BaseLoop
from torch.optim import Optimizer


def is_training(runner: Runner) -> bool:
    """Whether a runner trains; mmengine builds a training's loop before it loads a checkpoint."""
    return isinstance(runner._train_loop, BaseLoop)


def counts_iterations(runner: Runner) -> bool:
    """Whether a training counts iterations, and not epochs."""
    return isinstance(runner.train_loop, IterBasedTrainLoop)


def reached(runner: Runner) -> int:
    """Return the epochs, or iterations, that a training has done."""
    return runner.iter if counts_iterations(runner) else runner.epoch


def place(runner: Runner) -> str:
    """Return how far a training is, such as ``epoch 4`` or ``iteration 8000``."""
    return f"{'iteration' if counts_iterations(runner) else 'epoch'} {reached(runner)}"


def optimizers_of(wrapper: OptimWrapper | OptimWrapperDict) -> list[Optimizer]:
    """Return the optimizers inside a run's wrapper."""
    wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
    return [one.optimizer for one in wrappers]
