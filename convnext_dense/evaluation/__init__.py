"""Compute the benchmarks' official figures, in a test or from files of results.

:func:`~convnext_dense.evaluation.run.test` tests a model.
:func:`~convnext_dense.evaluation.coco.evaluate_coco` and
:func:`~convnext_dense.evaluation.label_maps.evaluate_label_maps` evaluate files. All return
:class:`Figures`.
"""

from convnext_dense.evaluation.figures import Figures

__all__ = ["Figures"]
