"""Published checkpoints into the backbone: what does not match stops the run."""

from convnext_dense.weights.load import load_weights
from convnext_dense.weights.report import LoadReport

__all__ = ["LoadReport", "load_weights"]
