"""mmseg's IoUMetric, but it keeps its figures, and writes label maps whole or not at all."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import MMLogger
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS
from PIL import Image

from convnext_dense.evaluation.figures import Figures
from convnext_dense.evaluation.map_files import label_map_name
from convnext_dense.files import path_inside, write_whole


@METRICS.register_module()
class BenchmarkIoUMetric(IoUMetric):
    """mmseg's IoUMetric, with the figures of every class in :attr:`figures`.

    Args:
        out: A folder for one PNG of labels per image. If 0 means unlabelled in the truth
            (``reduce_zero_label``), the labels begin at 1, as ADE20K's benchmark expects.
        images: The data's folders of images, for
            :func:`~convnext_dense.evaluation.map_files.label_map_name`.
        kwargs: As for IoUMetric.

    Attributes:
        figures: The figures, after they are computed.
        kept: The folder of label maps, after one is written.
    """

    def __init__(
        self, out: str | None = None, images: Sequence[str] = (), **kwargs: object
    ) -> None:
        super().__init__(**kwargs)
        self.out = out
        self.images = images
        self.figures: Figures | None = None
        self.kept: list[Path] = []

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Write the label maps of a batch, then count its pixels."""
        if self.out:
            for sample in data_samples:
                name = label_map_name(sample["img_path"], self.images)
                write_whole(path_inside(self.out, name), _png(sample))
            self.kept = [Path(self.out)]
        super().process(data_batch, data_samples)

    def compute_metrics(self, results: Sequence) -> dict[str, float]:
        """Compute the figures from the pixels that were counted.

        Raises:
            ValueError: If the truth has no labelled pixel.
        """
        if self.format_only:
            return {}
        with quiet_logger():  # it would log its own table of classes
            metrics = super().compute_metrics(results)
        areas = [sum(counts) for counts in zip(*results, strict=True)]
        if not areas[-1].sum():
            raise ValueError(
                f"none of the {len(results)} label maps of the truth has a labelled pixel, so "
                f"there is no mIoU: {self.ignore_index} is not counted, nor is 0 if it means "
                "unlabelled"
            )
        per_class = self.total_area_to_metrics(*areas, self.metrics, self.nan_to_num, self.beta)
        per_class.pop("aAcc")
        classes = self.dataset_meta["classes"]
        rows = [
            {"class": name} | {key: _percent(values[i]) for key, values in per_class.items()}
            for i, name in enumerate(classes)
        ]
        self.figures = Figures({name: round(float(v), 2) for name, v in metrics.items()}, rows)
        return metrics


def figures_of_areas(areas: Sequence[tuple[torch.Tensor, ...]], classes: Sequence[str]) -> Figures:
    """Return the figures of pixels that were counted.

    Args:
        areas: Results of ``intersect_and_union`` for each picture, or for all pictures together.
        classes: Their names.

    Raises:
        ValueError: If the truth has no labelled pixel.
    """
    with quiet_logger():
        metric = BenchmarkIoUMetric()
    metric.dataset_meta = dict(classes=tuple(classes))
    metric.compute_metrics(areas)
    assert metric.figures is not None  # only format_only leaves it out
    return metric.figures


@contextlib.contextmanager
def quiet_logger() -> Iterator[None]:
    """Log nothing but errors to mmengine's log."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)


def _png(sample: dict) -> bytes:
    labels = sample["pred_sem_seg"]["data"].squeeze().cpu().numpy()
    if sample.get("reduce_zero_label", False):
        labels = labels + 1
    png = io.BytesIO()
    Image.fromarray(labels.astype(np.uint8)).save(png, "PNG")
    return png.getvalue()


def _percent(fraction: float) -> float:
    # Rounded in the same way as IoUMetric's own table.
    return round(float(np.round(fraction * 100, 2)), 2)
