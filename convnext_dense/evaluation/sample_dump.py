"""mmdet's and mmengine's metrics that dump data samples, but they record the file's name."""

from __future__ import annotations

from pathlib import Path

from mmdet.evaluation import DumpDetResults
from mmdet.registry import METRICS
from mmengine.evaluator import DumpResults
from mmengine.registry import METRICS as ROOT_METRICS


class _Kept(DumpResults):
    """A dump that records its file in ``kept`` after it is written."""

    kept: tuple[Path, ...] = ()

    def compute_metrics(self, results: list) -> dict:
        """Write the collected samples."""
        metrics = super().compute_metrics(results)
        self.kept = (Path(self.out_file_path),)
        return metrics


@METRICS.register_module()
class KeepDetSamples(_Kept, DumpDetResults):
    """Dump a detector's samples, with masks as run lengths."""


@ROOT_METRICS.register_module()
class KeepSamples(_Kept):
    """Dump a segmenter's samples."""
