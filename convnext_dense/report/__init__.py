"""Make one page about one run, or about several side by side.

:mod:`~convnext_dense.report.run` reads a work directory, :mod:`~convnext_dense.report.validation`
predicts and compares with the truth, :mod:`~convnext_dense.report.plots` draws, and
:mod:`~convnext_dense.report.page` makes the page.
"""

from convnext_dense.report.run import Run, read_run

__all__ = ["Run", "read_run"]
