"""The programs of docs/deploy.md run as they are printed."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convnext_dense_runtime import Model

from .graphs import CLASSES, detector, segmenter

PAGE = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text()
# Where a release of ONNX Runtime may be: the variable names its folder.
HOME = "ONNXRUNTIME_HOME"
PLACES = [os.environ[HOME]] if HOME in os.environ else ["/usr/local", "/usr", "/opt/onnxruntime"]


def section(title: str) -> str:
    """Return a section of the page."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def program(title: str, language: str) -> str:
    """Return the first program of a section."""
    return re.search(rf"```{re.escape(language)}\n(.*?)```", section(title), re.DOTALL)[1]


@pytest.fixture
def serve(monkeypatch):
    """Start the server of the page with a model, and return its client."""
    testclient = pytest.importorskip("fastapi.testclient")

    def start(file: Path):
        monkeypatch.setenv("MODEL", str(file))
        names: dict = {"__name__": "serve"}
        exec(compile(program("Serve it", "python"), "serve.py", "exec"), names)
        return testclient.TestClient(names["app"])

    return start


def png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture[..., ::-1]).save(buffer, "png")
    return buffer.getvalue()


@pytest.mark.slow
def test_it_serves_a_detector(serve, detector_file, noise):
    client = serve(detector_file)
    about = client.get("/model").json()
    assert (about["task"], about["classes"]) == ("detection", list(CLASSES))
    answer = client.post("/predict", files={"picture": png(noise(80, 100, 3))})
    assert answer.status_code == 200
    (first, _) = answer.json()["objects"]
    assert (first["name"], first["box"]) == ("cow", [10, 10, 50, 40])
    few = client.post("/predict?score=0.5", files={"picture": png(noise(80, 100, 3))}).json()
    assert len(few["objects"]) == 1
    broken = client.post("/predict", files={"picture": b"no picture"})
    assert (broken.status_code, broken.json()["detail"]) == (
        422,
        "the upload cannot be decoded as a picture",
    )
    assert client.post("/predict").status_code == 422


@pytest.mark.slow
def test_it_serves_a_segmenter(serve, segmenter_file, noise):
    picture = noise(20, 30, 3)
    answer = serve(segmenter_file).post("/predict", files={"picture": png(picture)})
    labels = Model(segmenter_file)(picture)[0].labels
    wanted = {name: np.mean(labels == number) for number, name in enumerate(CLASSES)}
    assert answer.json() == {"shares": wanted}


def test_the_server_is_short():
    assert len(program("Serve it", "python").strip().splitlines()) <= 32


def test_inputs_and_outputs_are_enough(tmp_path, weights, noise):
    """The tables name all that a program reads from the graph."""
    import onnxruntime

    masks = np.zeros((1, 7, 7), np.float32)
    outputs = dict(boxes=np.zeros((1, 4), np.float32), scores=masks[:, 0, 0])
    outputs |= dict(labels=np.zeros(1, np.int64), masks=masks)
    for file in (
        detector(tmp_path / "d.onnx", **outputs),
        segmenter(tmp_path / "s.onnx", weights),
    ):
        session = onnxruntime.InferenceSession(file)
        for one in (*session.get_inputs(), *session.get_outputs()):
            assert f"| `{one.name}` |" in section("Inputs and outputs")


def test_the_c_plus_plus_program(tmp_path, detector_file, noise):
    homes = [
        (include, Path(place, "lib"))
        for place in PLACES
        for include in (Path(place, "include"), Path(place, "include", "onnxruntime"))
        if (include / "onnxruntime_cxx_api.h").is_file()
    ]
    if not homes:
        pytest.skip(f"ONNX Runtime's headers are not there: {HOME} may name a release's folder")
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("there is no C++ compiler")
    (include, library), source = homes[0], tmp_path / "detect.cpp"
    source.write_text(program("C++", "c++"))
    build = [compiler, "-std=c++17", "-Wall", "-Werror", source, "-o", tmp_path / "detect"]
    build += [f"-I{include}", f"-L{library}", "-lonnxruntime", f"-Wl,-rpath,{library}"]
    subprocess.run(build, check=True)
    Image.fromarray(noise(80, 100, 3)).save(tmp_path / "a.ppm")
    command = [tmp_path / "detect", detector_file, tmp_path / "a.ppm"]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert said.stdout.splitlines() == [
        "2 0.9000 10.00 10.00 50.00 40.00",
        "0 0.4000 60.00 20.00 90.00 70.00",
    ]
