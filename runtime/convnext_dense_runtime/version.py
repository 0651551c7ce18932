"""The version: always that of convnext-dense, whose exports this package runs."""

__version__ = "0.1.0"
