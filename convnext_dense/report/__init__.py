"""One page about one run or several side by side: :func:`~convnext_dense.report.page.write_report`.

:mod:`~convnext_dense.report.run` reads a work directory, :mod:`~convnext_dense.report.validation`
predicts and compares with the truth, :mod:`~convnext_dense.report.plots` draws,
:mod:`~convnext_dense.report.page` puts it together.
"""

from convnext_dense.report.run import Run, read_run

__all__ = ["Run", "read_run"]
