"""Published checkpoints into the backbone: what does not match stops the run."""

from convnext_dense.weights.load import LoadReport, load_weights

__all__ = ["LoadReport", "load_weights"]
