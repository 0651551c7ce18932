"""Run detectors and segmenters that ``convnext-dense export`` wrote, without torch."""

from convnext_dense_runtime.results import Detections, Prediction, Segmentation, Unreadable

__all__ = ["Detections", "Prediction", "Segmentation", "Unreadable"]
