"""A trained model on pictures: :class:`Predictor`, and what ``tools/infer.py`` draws and keeps."""

from convnext_dense.inference.predictor import Predictor
from convnext_dense.inference.results import Detections, Segmentation

__all__ = ["Detections", "Predictor", "Segmentation"]
