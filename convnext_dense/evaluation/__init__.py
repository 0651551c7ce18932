"""Benchmark evaluation on top of mmdet's and mmseg's metrics, and of files alone.

:func:`~convnext_dense.evaluation.coco.evaluate_coco` and
:func:`~convnext_dense.evaluation.label_maps.evaluate_label_maps` give :class:`Figures`;
:mod:`~convnext_dense.evaluation.benchmark` makes a test collect them.
"""

from convnext_dense.evaluation.figures import Figures

__all__ = ["Figures"]
