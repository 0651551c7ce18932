"""Files of OpenVINO, layers in 8-bit integers, and what they cost."""

import sys

import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from convnext_dense.evaluation.exported_model import ExportedModel
from convnext_dense.export import onnx_file, run
from convnext_dense.export.agreement import found_again
from convnext_dense.export.calibration import LEAST, Calibration
from convnext_dense.export.formats import FORMATS, choose_format
from convnext_dense.export.int8_layers import int8_layers, last_layers
from convnext_dense.export.run import export
from convnext_dense.export.verify import DifferentError
from convnext_dense_runtime import Detections, Model, read_metadata

from .tiny import CLASSES

UPERNET = "mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py"
MASK_RCNN = "mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Four different pictures."""
    from convnext_dense.data.shapes import draw_scene

    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    paths = [str(folder / f"{number}.png") for number in range(LEAST)]
    for path in paths:
        cv2.imwrite(path, draw_scene(rng, 128)[0])
    return paths


def network() -> onnx.GraphProto:
    """A detector's layers: stem, depthwise, middle, scores that are sorted, boxes."""
    rng = np.random.default_rng(0)
    weights = dict(
        stem=rng.normal(size=(8, 3, 4, 4)),
        depthwise=rng.normal(size=(8, 1, 3, 3)),
        middle=rng.normal(size=(8, 8, 1, 1)),
        scores=rng.normal(size=(1, 8, 1, 1)),
        boxes=rng.normal(size=(8, 4)),
    )
    fixed = [
        helper.make_tensor(name, TensorProto.FLOAT, one.shape, one.ravel())
        for name, one in weights.items()
    ] + [
        helper.make_tensor("k", TensorProto.INT64, [1], [5]),
        helper.make_tensor("all", TensorProto.INT64, [1], [-1]),
        helper.make_tensor("rows", TensorProto.INT64, [2], [-1, 8]),
    ]

    def conv(name, before, **attributes):
        return helper.make_node("Conv", [before, name], [f"{name}_out"], name, **attributes)

    nodes = [
        conv("stem", "image", kernel_shape=[4, 4], strides=[4, 4], group=1),
        conv("depthwise", "stem_out", kernel_shape=[3, 3], strides=[1, 1], group=8),
        conv("middle", "depthwise_out", kernel_shape=[1, 1], strides=[1, 1], group=1),
        conv("scores", "middle_out", kernel_shape=[1, 1], strides=[1, 1], group=1),
        helper.make_node("Reshape", ["scores_out", "all"], ["flat"]),
        helper.make_node("TopK", ["flat", "k"], ["best", "places"]),
        helper.make_node("Reshape", ["middle_out", "rows"], ["table"]),
        helper.make_node("Gather", ["table", "places"], ["chosen"]),
        helper.make_node("MatMul", ["chosen", "boxes"], ["found"], "boxes"),
    ]
    info = helper.make_tensor_value_info
    image = info("image", TensorProto.FLOAT, [1, 3, None, None])
    found = info("found", TensorProto.FLOAT, None)
    return helper.make_graph(nodes, "network", [image], [found], fixed)


def test_which_layers_stay_in_float32():
    assert last_layers(network()) == {"scores", "boxes"}
    assert int8_layers(network()) == ["depthwise", "middle"]


@pytest.mark.parametrize(
    ("out", "format", "said"),
    [
        ("model.pt", None, "does not end in .onnx or .xml"),
        ("model.onnx", "openvino", "does not end in .xml, as files of openvino do"),
        ("model", "onnx", "does not end in .onnx"),
        ("model.onnx", "tensorrt", "is not one of onnx, openvino"),
    ],
)
def test_a_name_that_does_not_fit_the_format(tmp_path, out, format, said):
    with pytest.raises(ValueError, match=said):
        choose_format(tmp_path / out, format)


class Reader:
    """In place of a model that reads pictures."""

    def __init__(self, pictures):
        self.pictures = pictures

    def read(self, path):
        return self.pictures[path]

    def prepare(self, picture):
        return picture


def test_pictures_that_cannot_calibrate():
    noise = np.random.default_rng(0).uniform(0, 255, (10, 3, 24, 32)).astype(np.float32)
    names = [str(number) for number in range(10)]
    different = Reader(dict(zip(names, noise, strict=True)))
    assert len(list(Calibration(different, names))) == 10
    with pytest.raises(ValueError, match=f"names 3 calibration pictures, too few: give {LEAST}"):
        Calibration(different, names[:3])
    alike = Reader(dict.fromkeys(names, noise[0]))
    with pytest.raises(ValueError, match="the 10 calibration pictures of `int8` are all alike"):
        Calibration(alike, names)


def test_which_detections_are_found_again():
    boxes = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [0, 20, 10, 30]], np.float32)
    scores, labels = np.array([0.9, 0.8, 0.1], np.float32), np.array([0, 1, 0])
    wanted = Detections(boxes, scores, labels, None, ("a", "b"))
    assert found_again(wanted, wanted).all()
    moved = Detections(boxes + 3, scores, labels, None, ("a", "b"))
    assert not found_again(wanted, moved).any()
    other = Detections(boxes, scores, np.array([0, 0, 0]), None, ("a", "b"))
    assert found_again(wanted, other).tolist() == [True, False]


@pytest.mark.slow
def test_what_is_missing_is_said_with_its_extra(monkeypatch):
    from convnext_dense.extras import explain_missing

    monkeypatch.setitem(sys.modules, "nncf", None)
    FORMATS["openvino"].check_installed(int8=False)
    with pytest.raises(ModuleNotFoundError) as caught:
        FORMATS["openvino"].check_installed(int8=True)
    missing = "nncf is not installed: pip install 'convnext-dense[openvino]'"
    assert explain_missing(caught.value) == missing


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        (UPERNET, ".onnx"),
        pytest.param(UPERNET, ".xml", marks=pytest.mark.long),
        pytest.param(MASK_RCNN, ".onnx", marks=pytest.mark.long),
        (MASK_RCNN, ".xml"),
    ],
)
def test_int8(trained, pictures, tmp_path, name, suffix):
    out = tmp_path / f"model{suffix}"
    metadata = export(*trained(name), out, int8=pictures)
    assert read_metadata(out) == metadata
    assert metadata.classes == CLASSES
    assert metadata.verification["int8_pictures"] == len(pictures)
    assert 0.5 < metadata.verification["int8_equal"] <= 1
    assert ExportedModel(str(out)).precision == "8-bit integers"
    files = FORMATS[choose_format(out, None)].files(out)
    weights = sum(
        one.numel() for one in torch.load(trained(name).checkpoint)["state_dict"].values()
    )
    assert sum(file.stat().st_size for file in files) < 0.6 * 4 * weights
    found = Model(out)(pictures[0])[0]
    if name == UPERNET:
        assert found.labels.shape == (128, 128)
    else:
        assert found.masks.shape == (len(found), 128, 128) and len(found) > 0


@pytest.mark.slow
@pytest.mark.long
def test_more_weights_than_a_file_holds(trained, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "LARGEST", 10**5)
    out = tmp_path / "moved" / "model.onnx"
    export(*trained(UPERNET), out, int8=pictures)
    assert sorted(path.name for path in out.parent.iterdir()) == ["model.onnx", "model.onnx.data"]
    assert Model(out)(pictures[0])[0].labels.shape == (128, 128)


@pytest.mark.slow
def test_openvino_that_differs_leaves_nothing(trained, tmp_path, monkeypatch):
    def other(path):
        return lambda values: [np.zeros((1, len(CLASSES), *values.shape[2:]), np.float32)]

    form = FORMATS["openvino"]
    monkeypatch.setitem(run.FORMATS, "openvino", type(form)(**{**vars(form), "runner": other}))
    out = tmp_path / "model.xml"
    with pytest.raises(DifferentError, match="of the pixels are equal"):
        export(*trained(UPERNET), out)
    assert list(tmp_path.iterdir()) == []
