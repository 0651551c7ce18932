"""Let a hook that switches at an epoch switch at an iteration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from convnext_dense.training.data_stream import restart_batches


class SwitchAtIterHook(Hook):
    """Let a hook of mmdet change pipeline or losses at an iteration.

    ``PipelineSwitchHook`` and ``YOLOXModeSwitchHook`` act when an epoch begins, and a run that
    counts iterations is one epoch. This hook calls them before the given iteration, and the
    training data is read anew from there, since loader workers hold a copy of the old pipeline. A
    run that is resumed later switches when it begins.

    Args:
        iteration: The first iteration, from 0, that the switch applies to.
        hook: Config of a hook that switches as soon as an epoch begins.
    """

    def __init__(self, iteration: int, hook: Mapping) -> None:
        self.iteration = iteration
        self.hook = HOOKS.build(dict(hook))

    def before_train(self, runner: Runner) -> None:
        """Switch at once in a run that is resumed after the iteration."""
        if runner.iter >= self.iteration:
            self._switch(runner)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | Sequence | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Switch after the iteration before."""
        if runner.iter + 1 == self.iteration:
            self._switch(runner)

    def _switch(self, runner: Runner) -> None:
        self.hook.before_train_epoch(runner)
        restart_batches(runner, self.iteration)
