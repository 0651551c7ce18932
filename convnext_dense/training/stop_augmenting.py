"""End the strong augmentation of a training some epochs before the end."""

from __future__ import annotations

from typing import Any

from mmdet.engine.hooks import PipelineSwitchHook
from mmengine.runner import Runner

from convnext_dense.checkpoints.target_model import unwrap_model


class StopAugmentingHook(PipelineSwitchHook):
    """Switch to a plain pipeline, and end what a detector does to whole batches.

    mmdet's hook switches the pipeline alone, while a random size of the batch
    (``BatchSyncRandomResize``) is made in the model. RT-DETR and D-FINE end both.

    Args:
        switch_epoch: The first epoch, from 0, without augmentation.
        switch_pipeline: The transforms from there on.
    """

    def before_train_epoch(self, runner: Runner) -> None:
        """Switch in the epoch that it was asked for, or in a later one that a run begins with."""
        super().before_train_epoch(runner)
        if runner.epoch >= self.switch_epoch:
            model: Any = unwrap_model(runner.model)
            model.data_preprocessor.batch_augments = None
