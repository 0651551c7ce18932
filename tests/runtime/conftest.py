"""Graphs, pictures and a machine without OpenCV."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from .graphs import detector, segmenter


@pytest.fixture
def noise():
    """Return pictures of random pixels."""
    rng = np.random.default_rng(0)
    return lambda *shape: rng.integers(0, 256, shape, np.uint8)


@pytest.fixture
def without_opencv(monkeypatch):
    """Let the import of OpenCV fail from now on: ``without_opencv()``."""
    return lambda: monkeypatch.setitem(sys.modules, "cv2", None)


@pytest.fixture
def found():
    """The outputs of a detector in a 100 x 80 picture: two objects and an empty row."""
    return dict(
        boxes=np.array([[10, 10, 50, 40], [60, 20, 90, 70], [0, 0, 0, 0]], np.float32),
        scores=np.array([0.9, 0.4, 0], np.float32),
        labels=np.array([2, 0, 0], np.int64),
    )


@pytest.fixture
def detector_file(tmp_path, found):
    return detector(tmp_path / "detector.onnx", **found)


@pytest.fixture
def weights():
    """The weights of a segmenter of three classes."""
    return np.random.default_rng(1).normal(size=(3, 3, 5, 5)).astype(np.float32)


@pytest.fixture
def segmenter_file(tmp_path, weights):
    return segmenter(tmp_path / "segmenter.onnx", weights)
