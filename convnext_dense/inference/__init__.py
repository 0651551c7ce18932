"""Run a trained model on pictures (:class:`Predictor`), and draw or save its results."""

from typing import TYPE_CHECKING

from convnext_dense.lazy import load_when_used

if TYPE_CHECKING:
    from convnext_dense.inference.predictor import Predictor
    from convnext_dense_runtime.results import Detections, Segmentation

__all__ = ["Detections", "Predictor", "Segmentation"]
__getattr__, __dir__ = load_when_used(
    __name__,
    {
        "Predictor": ".predictor",
        "Detections": "convnext_dense_runtime.results",
        "Segmentation": "convnext_dense_runtime.results",
    },
)
