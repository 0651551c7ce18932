"""Run detectors and segmenters that ``convnext-dense export`` wrote, without torch.

>>> from convnext_dense_runtime import Model
>>> results = Model("model.onnx")(["a.jpg", "b.jpg"])    # doctest: +SKIP
"""

from convnext_dense_runtime.metadata import Metadata
from convnext_dense_runtime.model import Model
from convnext_dense_runtime.model_file import is_model_file, read_metadata
from convnext_dense_runtime.results import Detections, Prediction, Segmentation, Unreadable
from convnext_dense_runtime.version import __version__

__all__ = [
    "Detections",
    "Metadata",
    "Model",
    "Prediction",
    "Segmentation",
    "Unreadable",
    "__version__",
    "is_model_file",
    "read_metadata",
]
