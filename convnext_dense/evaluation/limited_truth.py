"""Evaluate only the images that a limited data set has."""

from __future__ import annotations

from typing import Any

from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader


class LimitedTruthHook(Hook):
    """Let mmdet's metrics of COCO and LVIS evaluate the images of the data set alone.

    They read the truth from a file, and would count each object in its other images as missed.
    """

    def before_val(self, runner: Runner) -> None:
        """Restrict the truth of the validation."""
        restrict_truth(runner.val_evaluator, runner.val_dataloader)

    def before_test(self, runner: Runner) -> None:
        """Restrict the truth of the test."""
        restrict_truth(runner.test_evaluator, runner.test_dataloader)


def restrict_truth(evaluator: Evaluator, loader: DataLoader) -> None:
    """Set the attribute ``img_ids`` of metrics that have it to the images that a loader reads."""
    dataset: Any = loader.dataset
    metrics = [metric for metric in evaluator.metrics if hasattr(metric, "img_ids")]
    if metrics:
        ids = [dataset.get_data_info(index)["img_id"] for index in range(len(dataset))]
        for metric in metrics:
            metric.img_ids = ids
