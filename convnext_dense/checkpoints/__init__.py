"""Load published checkpoints into a backbone or a model; what does not match stops the run."""

from typing import TYPE_CHECKING

from convnext_dense.lazy import load_when_used

if TYPE_CHECKING:
    from convnext_dense.checkpoints.load import load_weights
    from convnext_dense.checkpoints.report import LoadReport

__all__ = ["LoadReport", "load_weights"]
__getattr__, __dir__ = load_when_used(__name__, {"LoadReport": ".report", "load_weights": ".load"})
