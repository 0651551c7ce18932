"""The runtime runs where nothing but numpy, Pillow and ONNX Runtime is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convnext_dense_runtime import Metadata, Model
from convnext_dense_runtime.metadata import Resize

from .graphs import CLASSES, detector, segmenter

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2] / "runtime"
# Top-level modules of numpy, Pillow and ONNX Runtime, and of what they import.
INSTALLED = ("numpy", "PIL", "onnxruntime", "flatbuffers", "google", "packaging", "pillow.libs")
PROGRAM = """
import importlib.util, json, sys
from convnext_dense_runtime import Model, Unreadable

for module in ("torch", "mmengine", "mmcv", "cv2", "convnext_dense"):
    assert importlib.util.find_spec(module) is None, module
objects = Model("detector.onnx")("photo.png")[0]
labels = Model("segmenter.onnx")(["photo.png"])[0].labels
(broken,) = Model("detector.onnx").stream(["broken.png"])
assert isinstance(broken.result, Unreadable)
json.dump(
    dict(
        boxes=objects.boxes.tolist(),
        masks=objects.masks.tolist(),
        labels=labels.tolist(),
        read=Model("segmenter.onnx").read("photo.png").tolist(),
    ),
    sys.stdout,
)
"""


@pytest.fixture
def alone(tmp_path):
    """The Python of an environment with the runtime's own files and those few packages."""
    venv.create(tmp_path / "environment", symlinks=True)
    (site,) = (tmp_path / "environment" / "lib").glob("python*/site-packages")
    here = Path(sysconfig.get_path("purelib"))
    for name in (*INSTALLED, "numpy.libs"):
        if (here / name).exists():
            (site / name).symlink_to(here / name)
    shutil.copytree(ROOT / "convnext_dense_runtime", site / "convnext_dense_runtime")
    return tmp_path / "environment" / "bin" / "python"


def test_results_are_the_same(alone, tmp_path, noise, found, weights):
    resized = dict(resize=Resize((96, 64)))
    facts = Metadata("detection", CLASSES, masks="box", **resized)
    masks = np.random.default_rng(0).random((3, 14, 14), np.float32)
    detector(tmp_path / "detector.onnx", facts, masks=masks, **found)
    segmenter(tmp_path / "segmenter.onnx", weights, Metadata("segmentation", CLASSES, **resized))
    Image.fromarray(noise(80, 100, 3)).save(tmp_path / "photo.png")
    (tmp_path / "broken.png").write_bytes(b"x")
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [alone, "-c", PROGRAM], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    photo = tmp_path / "photo.png"
    (objects,) = Model(tmp_path / "detector.onnx")(photo)
    (labels,) = Model(tmp_path / "segmenter.onnx")(photo)
    assert said["read"] == Model(tmp_path / "segmenter.onnx").read(photo).tolist()
    assert said["boxes"] == objects.boxes.tolist()
    assert said["masks"] == objects.masks.tolist()
    assert said["labels"] == labels.labels.tolist()


def test_importing_it_loads_nothing_heavy():
    program = "import sys, convnext_dense_runtime; print(*sys.modules)"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True)
    heavy = {"torch", "mmengine", "cv2", "PIL", "onnxruntime", "openvino", "convnext_dense"}
    assert heavy & set(done.stdout.split()) == set()
