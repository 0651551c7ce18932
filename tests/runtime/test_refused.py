"""Files that are not ours, lie or are damaged, and machines that lack something: one line each."""

from __future__ import annotations

import dataclasses
import json
import re
import sys

import numpy as np
import onnx
import pytest

from convnext_dense_runtime import Metadata, Model
from convnext_dense_runtime.metadata import Pad, Resize

from .graphs import CLASSES, detector, segmenter

FACTS = json.loads(Metadata("detection", CLASSES).to_json())


def refusal(call, *args, **kwargs) -> str:
    """Return the message of the error that a call raises, which is one line."""
    with pytest.raises((ValueError, OSError, RuntimeError, ImportError)) as caught:
        call(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 600
    return message


def test_all_facts_survive():
    facts = Metadata(
        task="segmentation",
        classes=("a", "b"),
        palette=((1, 2, 3), (4, 5, 6)),
        first_label=1,
        channels="RGBN",
        color_type="unchanged",
        resize=Resize((20, 30), False, "area", False),
        pad=Pad((64, 32), (1.0, 2.0, 3.0, 4.0)),
        divisor=32,
        size=(64, 32),
        smallest=(32, 32),
        score=0.3,
        mask_threshold=0.4,
        mask_family="rtmdet",
        sliding=(16, 16, 8, 8),
        align_corners=True,
        threshold=0.2,
        model="a",
        licence="b",
        source="c",
        versions={"torch": "2"},
        verification={"boxes": 1e-5},
    )
    changed = [f.name for f in dataclasses.fields(Metadata) if f.default != getattr(facts, f.name)]
    assert set(changed) == {f.name for f in dataclasses.fields(Metadata)} - {"masks", "format"}
    assert Metadata.from_json(facts.to_json(), "m.onnx") == facts
    boxes = Metadata("detection", CLASSES, masks="picture", mask_threshold=-1.5)
    assert Metadata.from_json(boxes.to_json(), "m.onnx") == boxes


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("task", "classification"),
        ("task", ["detection"]),
        ("classes", "cat,dog"),
        ("classes", []),
        ("classes", [1, 2]),
        ("palette", [[0, 0]]),
        ("palette", [[0, 0, 256]]),
        ("first_label", 7),
        ("first_label", True),
        ("channels", ""),
        ("channels", "B" * 10**6),
        ("color_type", "rainbow"),
        ("resize", None),
        ("resize", {"scale": [0, 5]}),
        ("resize", {"scale": [-640, -640]}),
        ("resize", {"scale": [1e9, 1e9]}),
        ("resize", {"scale": [10**9, 10**9]}),
        ("resize", {"scale": [32768, 32768]}),
        ("resize", {"scale": [640]}),
        ("resize", {"scale": [640, 640], "keep_ratio": "yes"}),
        ("resize", {"scale": [640, 640], "interpolation": "magic"}),
        ("resize", {"scale": None, "turned": 0}),
        ("pad", {"size": [64, 64]}),
        ("pad", {"size": [64, 64], "value": ["black"]}),
        ("divisor", 0),
        ("size", [64]),
        ("size", [64, 10**12]),
        ("smallest", [-1, 1]),
        ("score", "high"),
        ("score", 2),
        ("masks", "everywhere"),
        ("mask_threshold", None),
        ("mask_family", "mine"),
        ("sliding", [16, 16]),
        ("sliding", [16, 16, 0, 8]),
        ("align_corners", 1),
        ("threshold", 9),
        ("licence", {}),
        ("versions", []),
        ("verification", "good"),
    ],
)
def test_wrong_facts(key, value):
    said = refusal(Metadata.from_json, json.dumps({**FACTS, key: value}), "m.onnx")
    assert said.startswith(f"m.onnx: its metadata is wrong: {key} is ")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (dict(format=2), "of format 2, newer than .*pip install --upgrade convnext-dense-runtime"),
        (dict(format="x"), "its metadata is damaged"),
        (dict(palette=[[1, 2, 3]]), "1 colours for 3 classes"),
        (dict(task="segmentation", masks="box"), "a segmenter has no masks"),
        (dict(sliding=[8, 8, 8, 8]), "a detector has no sliding window"),
        (dict(task="segmentation", sliding=[8, 8, 9, 8]), "leave gaps"),
        (dict(task="segmentation", classes=["a"] * 257), "257 classes, a label map holds 256"),
        (dict(pad=dict(size=[32, 32], value=[0])), "1 values fill 3 channels"),
        (dict(pad=dict(size=[32, 32], value=[0, 0, 0]), size=[9, 9]), "are put into"),
        (dict(size=[32, 32], smallest=[64, 64]), "below the smallest"),
    ],
)
def test_facts_that_contradict_each_other(changes, said):
    assert re.search(said, refusal(Metadata.from_json, json.dumps({**FACTS, **changes}), "m.onnx"))


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "[" * 10**5, '"text"', "{}"])
def test_damaged_facts(text):
    assert "its metadata" in refusal(Metadata.from_json, text, "m.onnx")


def test_unknown_facts_are_of_a_newer_writer():
    assert Metadata.from_json(json.dumps({**FACTS, "colour": "red"}), "m").classes == CLASSES


def test_files_that_are_no_models(tmp_path, detector_file):
    other = tmp_path / "other.onnx"
    model = onnx.load(detector_file)
    del model.metadata_props[:]
    onnx.save(model, other)
    assert "that convnext-dense did not export" in refusal(Model, other)
    content = detector_file.read_bytes()
    for number, damaged in enumerate(
        (b"", b"text", content[:40], content[:-9], b"\xff" * 99, bytes(99), b"PK\3\4" + content)
    ):
        file = tmp_path / f"damaged{number}.onnx"
        file.write_bytes(damaged)
        assert "is damaged, cut off, or no ONNX file" in refusal(Model, file)
    spoiled = bytearray(content)
    at = content.index(b"ReduceSum")
    spoiled[at : at + 9] = b"Vanishing"
    (tmp_path / "spoiled.onnx").write_bytes(spoiled)
    assert "ONNX Runtime cannot load it" in refusal(Model, tmp_path / "spoiled.onnx")
    assert "their files end in .onnx or .xml" in refusal(Model, "model.pth")
    assert refusal(Model, "none.onnx") == "there is no model none.onnx"


def test_a_model_of_others_that_cannot_be_loaded_either(tmp_path):
    helper = onnx.helper
    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Unheard", ["x"], ["y"])], "g", [value], [value])
    onnx.save(helper.make_model(graph), tmp_path / "model.onnx")
    assert "that convnext-dense did not export" in refusal(Model, tmp_path / "model.onnx")


def test_facts_that_do_not_fit_the_graph(tmp_path, found, weights, noise):
    def lies(facts, make=segmenter, *args, **kwargs):
        file = make(tmp_path / "m.onnx", *(args or (() if kwargs else (weights,))), facts, **kwargs)
        return refusal(Model, file)

    assert "no output 'boxes', but logits" in lies(Metadata("detection", CLASSES))
    masks = Metadata("detection", CLASSES, masks="box")
    assert "no output 'masks'" in lies(masks, detector, **found)
    four = Metadata("segmentation", CLASSES, channels="BGRN")
    assert "the graph takes 3 channels, not 4" in lies(four)
    file = segmenter(tmp_path / "m.onnx", weights, Metadata("segmentation", ("a", "b")))
    assert "returned logits (1, 3, 9, 9) for 2 classes" in refusal(Model(file), noise(9, 9, 3))
    facts = Metadata("detection", ("a",))
    file = detector(tmp_path / "m.onnx", facts, **found)
    assert "labels beyond the 1 classes" in refusal(Model(file), noise(9, 9, 3))
    endless = {**found, "boxes": np.full((3, 4), np.inf, np.float32)}
    file = detector(tmp_path / "m.onnx", **endless)
    assert "boxes that are not finite" in refusal(Model(file), noise(9, 9, 3))


def test_pictures_that_do_not_fit(tmp_path, weights, noise):
    facts = Metadata("segmentation", CLASSES, smallest=(16, 32))
    model = Model(segmenter(tmp_path / "m.onnx", weights, facts))
    said = "smaller than the 32 x 16 that the model takes at least"
    for shape in ((15, 40), (40, 31)):
        assert said in refusal(model, noise(*shape, 3))
    assert "an array is (H, W, 3) of uint8 in BGR order, got" in refusal(model, noise(40, 40))
    for wrong in (noise(40, 40, 4), noise(40, 40, 3) / 255, noise(2, 40, 40, 3)):
        assert "an array is (H, W, 3) of uint8 in BGR order, got" in refusal(model, wrong)
    empty = Model(segmenter(tmp_path / "n.onnx", weights))
    assert "has no pixel" in refusal(empty, np.zeros((0, 40, 3), np.uint8))
    thin = Metadata("segmentation", CLASSES, resize=Resize((64, 64)))
    model = Model(segmenter(tmp_path / "m.onnx", weights, thin))
    assert "becomes 64 x 0, smaller than the 1 x 1" in refusal(model, noise(1, 3000, 3))
    lie = Metadata("segmentation", CLASSES, pad=Pad((20, 20), (0.0, 0.0, 0.0)))
    model = Model(segmenter(tmp_path / "m.onnx", weights, lie))
    assert "larger than the 20 x 20 that it is put into" in refusal(model, noise(21, 20, 3))


@pytest.mark.slow
def test_a_fixed_size_is_the_only_one(tmp_path, weights, noise):
    facts = Metadata("segmentation", CLASSES, size=(24, 32))
    model = Model(segmenter(tmp_path / "m.onnx", weights, facts, size=(24, 32)))
    assert model(noise(24, 32, 3))[0].labels.shape == (24, 32)
    assert "was exported for 32 x 24 alone" in refusal(model, noise(24, 33, 3))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (dict(device="tpu"), "`device='tpu'` is no device: cpu, cuda and cuda:1 are some"),
        (dict(device="gpu"), "`backend='openvino'` has others"),
        (dict(device="cuda"), "CUDAExecutionProvider is not there; these are: .*CPUExecution"),
        (dict(providers=["TensorRT"]), "TensorrtExecutionProvider is not there; these are: "),
        (dict(providers=["Magic"]), "Magic is not there; these are: "),
        (dict(providers="cpu"), "`providers` is a list of names"),
        (dict(providers=[]), "`providers` is a list of names"),
        (dict(providers=["cpu"], device="cpu"), "give `device` or `providers`, not both"),
        (dict(providers=["cpu"], backend="openvino"), "OpenVINO takes a `device`"),
        (dict(backend="tflite"), "`backend` is one of onnxruntime, openvino, got 'tflite'"),
        (dict(backend="openvino", device="gpu:7"), "OpenVINO sees these: CPU"),
        (dict(batch_size=0), "`batch_size` is from 1 to 4096, got 0"),
        (dict(score=1.0), "`score` is at least 0 and below 1"),
        (dict(score=float("nan")), "`score` is at least 0 and below 1"),
        (dict(threads=0), "`threads` is a number from 1 to 1024, got 0"),
    ],
)
def test_arguments(detector_file, arguments, said):
    if arguments.get("backend") == "openvino":
        pytest.importorskip("openvino")
    assert re.search(said, refusal(Model, detector_file, **arguments))


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_missing_backend_is_named_with_its_extra(detector_file, backend, monkeypatch):
    monkeypatch.setitem(sys.modules, backend, None)
    said = refusal(Model, detector_file, backend=backend)
    assert said == (f"{backend} is not installed: pip install 'convnext-dense-runtime[{backend}]'")


def test_openvino_files(tmp_path, weights):
    openvino = pytest.importorskip("openvino")
    model = openvino.Core().read_model(segmenter(tmp_path / "m.onnx", weights))
    openvino.save_model(model, tmp_path / "m.xml")
    assert "that convnext-dense did not export" in refusal(Model, tmp_path / "m.xml")
    said = refusal(Model, tmp_path / "m.xml", backend="onnxruntime")
    assert "`backend='openvino'` runs it" in said
    (tmp_path / "m.bin").write_bytes((tmp_path / "m.bin").read_bytes()[:9])
    said = refusal(Model, tmp_path / "m.xml")
    assert said.endswith("m.xml: OpenVINO cannot read it: Incorrect weights in bin file!")
    (tmp_path / "m.xml").write_text("<xml")
    assert "OpenVINO cannot read it" in refusal(Model, tmp_path / "m.xml")
    (tmp_path / "m.bin").unlink()
    assert "lacks m.bin beside it" in refusal(Model, tmp_path / "m.xml")
