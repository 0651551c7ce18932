"""Model runs graphs whose outputs are known, by every way that pictures come in."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import convnext_dense.runtime
import convnext_dense_runtime
from convnext_dense_runtime import Detections, Metadata, Model, Segmentation, Unreadable
from convnext_dense_runtime.metadata import Pad, Resize

from .graphs import CLASSES, detector, segmenter


def test_it_is_the_module_of_the_main_package():
    assert convnext_dense.runtime is convnext_dense_runtime
    assert convnext_dense.runtime.Model is Model


def test_objects_are_in_pixels_of_the_picture(tmp_path, found, noise):
    facts = Metadata("detection", CLASSES, resize=Resize((100, 80)))
    model = Model(detector(tmp_path / "m.onnx", facts, **found))
    (result,) = model(noise(160, 200, 3))
    assert isinstance(result, Detections)
    assert result.boxes.tolist() == [[20, 20, 100, 80], [120, 40, 180, 140]]
    assert result.scores == pytest.approx([0.9, 0.4])
    assert result.labels.tolist() == [2, 0]
    assert [result.classes[label] for label in result.labels] == ["cow", "cat"]
    assert result.masks is None
    assert (result.boxes.dtype, result.scores.dtype, result.labels.dtype) == (
        np.float32,
        np.float32,
        np.int64,
    )
    assert model.classes == CLASSES and model.metadata == facts


def test_low_scores_are_left_out(detector_file, noise):
    for score, number in ((0, 2), (0.4, 1), (0.95, 0)):
        (result,) = Model(detector_file, score=score)(noise(80, 100, 3))
        assert len(result) == number
        assert result.boxes.shape == (number, 4)


def test_objects_come_with_the_highest_score_first(tmp_path, found, noise):
    upside_down = {name: values[::-1].copy() for name, values in found.items()}
    (result,) = Model(detector(tmp_path / "m.onnx", **upside_down))(noise(80, 100, 3))
    assert result.labels.tolist() == [2, 0]


@pytest.mark.parametrize("kind", ["box", "picture"])
def test_masks_are_in_the_size_of_the_picture(tmp_path, found, noise, kind):
    masks = np.zeros((3, 20, 20), np.float32)
    masks[:, :10] = 1  # the upper half
    facts = Metadata("detection", CLASSES, resize=Resize((100, 80)), masks=kind)
    model = Model(detector(tmp_path / "m.onnx", facts, masks=masks, **found))
    (result,) = model(noise(160, 200, 3))
    assert (result.masks.shape, result.masks.dtype) == ((2, 160, 200), bool)
    wanted = np.zeros((160, 200), bool)
    if kind == "box":
        wanted[20:50, 20:100] = True
    else:
        wanted[:80] = True
    # The corners of a pasted mask are blunt.
    assert (result.masks[0] != wanted).sum() < 12
    (none,) = Model(tmp_path / "m.onnx", score=0.95)(noise(160, 200, 3))
    assert none.masks.shape == (0, 160, 200)


def convolve(picture, weights):
    image = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    weights = torch.from_numpy(weights)
    return torch.nn.functional.conv2d(image, weights, padding=weights.shape[-1] // 2)


def test_labels_are_in_the_size_of_the_picture(segmenter_file, weights, noise):
    picture = noise(33, 47, 3)
    (result,) = Model(segmenter_file)(picture)
    assert isinstance(result, Segmentation)
    assert (result.labels == convolve(picture, weights)[0].argmax(0).numpy()).all()
    assert result.labels.dtype == np.uint8


def test_logits_are_resized_before_the_best_is_chosen(tmp_path, weights, noise):
    facts = Metadata("segmentation", CLASSES, resize=Resize((40, 40)), first_label=1)
    (result,) = Model(segmenter(tmp_path / "m.onnx", weights, facts))(
        np.tile(noise(9, 12, 3), (9, 9, 1))
    )
    assert result.labels.shape == (81, 108)
    assert result.first_label == 1


@pytest.mark.parametrize("batch", [1, "batch"])
@pytest.mark.parametrize("shape", [(50, 70), (16, 16), (10, 40), (33, 16)])
def test_windows_slide_as_in_mmseg(tmp_path, weights, noise, batch, shape):
    from mmengine.config import ConfigDict
    from mmseg.models.segmentors import EncoderDecoder

    window, stride = (16, 16), (10, 7)
    facts = Metadata("segmentation", CLASSES, sliding=(*window, *stride))
    model = Model(segmenter(tmp_path / "m.onnx", weights, facts, batch), batch_size=4)
    picture = noise(*shape, 3)

    class OneConvolution:
        test_cfg = ConfigDict(crop_size=window, stride=stride)
        out_channels = 3

        @staticmethod
        def encode_decode(image, metas):
            return torch.nn.functional.conv2d(image, torch.from_numpy(weights), padding=2)

    image = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    logits = EncoderDecoder.slide_inference(OneConvolution, image, [{}])
    (result,) = model(picture)
    assert (result.labels == logits[0].argmax(0).numpy()).all()


def test_one_foreground_class_has_a_threshold(tmp_path, noise):
    weights = np.full((1, 3, 1, 1), 0.01, np.float32)
    facts = Metadata("segmentation", ("other", "road"), threshold=0.97)
    picture = noise(20, 30, 3)
    (result,) = Model(segmenter(tmp_path / "m.onnx", weights, facts))(picture)
    wanted = convolve(picture, weights)[0, 0].sigmoid().numpy() > 0.97
    assert 0 < wanted.mean() < 1
    assert (result.labels == wanted).all()


def test_a_batch_changes_nothing(tmp_path, weights, noise):
    file = segmenter(tmp_path / "m.onnx", weights, batch="batch")
    pictures = [noise(20, 30, 3), noise(20, 30, 3), noise(25, 30, 3), noise(20, 30, 3)]
    alone = [Model(file)(picture)[0].labels for picture in pictures]
    together = Model(file, batch_size=3)(pictures)
    assert all((one.labels == other).all() for one, other in zip(together, alone, strict=True))
    assert Model(segmenter(tmp_path / "one.onnx", weights), batch_size=3).batch_size == 1


def test_files_and_arrays_are_the_same_pictures(segmenter_file, noise, tmp_path):
    picture = noise(20, 30, 3)
    Image.fromarray(picture[..., ::-1]).save(tmp_path / "a.png")
    model = Model(segmenter_file)
    for images in (tmp_path / "a.png", str(tmp_path / "a.png"), [picture], [tmp_path / "a.png"]):
        assert (model(images)[0].labels == model(picture)[0].labels).all()
    decoded = model.decode((tmp_path / "a.png").read_bytes())
    assert (decoded == picture).all()
    (prediction,) = model.stream([str(tmp_path / "a.png")])
    assert prediction.source == str(tmp_path / "a.png")
    assert (prediction.picture == picture).all()
    assert model([]) == []


def test_a_stream_goes_on_after_an_unreadable_picture(segmenter_file, noise, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    results = list(
        Model(segmenter_file).stream(
            iter([noise(8, 8, 3), tmp_path / "bad.jpg", "none.jpg", noise(8, 8, 3)])
        )
    )
    reasons = [one.result.reason if isinstance(one.result, Unreadable) else "" for one in results]
    assert reasons == [
        "",
        f"{tmp_path / 'bad.jpg'} cannot be decoded as a picture",
        "there is no picture none.jpg",
        "",
    ]
    with pytest.raises(ValueError, match="there is no picture none"):
        Model(segmenter_file)(["none.jpg"])


def test_other_channels(tmp_path, noise):
    weights = np.random.default_rng(0).normal(size=(2, 5, 1, 1)).astype(np.float32)
    facts = Metadata("segmentation", ("a", "b"), channels="abcde", color_type="unchanged")
    model = Model(segmenter(tmp_path / "m.onnx", weights, facts))
    picture = noise(12, 10, 5).astype(np.uint16) * 9
    (prediction,) = model.stream([picture])
    wanted = convolve(picture.astype(np.float32), weights)[0].argmax(0).numpy()
    assert (prediction.result.labels == wanted).all()
    assert prediction.picture.shape == (12, 10, 3)


@pytest.mark.slow
def test_openvino_runs_the_same_files(tmp_path, weights, noise, found):
    openvino = pytest.importorskip("openvino")
    from convnext_dense_runtime.metadata import KEY

    onnx = segmenter(tmp_path / "m.onnx", weights)
    read = openvino.Core().read_model(onnx)
    read.set_rt_info(Metadata("segmentation", CLASSES).to_json(), KEY)
    openvino.save_model(read, tmp_path / "m.xml", compress_to_fp16=False)
    picture = noise(20, 30, 3)
    wanted = Model(onnx)(picture)[0].labels
    for model in (
        Model(tmp_path / "m.xml"),
        Model(onnx, backend="openvino", device="cpu", threads=1),
    ):
        assert (model(picture)[0].labels == wanted).all()
        assert model.runs_on.startswith("OpenVINO")
    detections = Model(detector(tmp_path / "d.onnx", **found), backend="openvino")(
        noise(80, 100, 3)
    )
    assert detections[0].boxes.tolist() == found["boxes"][:2].tolist()


@pytest.mark.parametrize("shape", [(40, 64), (64, 40), (120, 30)])
def test_pictures_are_put_into_a_fixed_size(tmp_path, found, weights, noise, shape):
    facts = dict(resize=Resize((48, 32), turned=False), pad=Pad((32, 48), (9.0, 8.0, 7.0)))
    facts["size"] = (32, 48)
    file = segmenter(
        tmp_path / "s.onnx", weights, Metadata("segmentation", CLASSES, **facts), size=(32, 48)
    )
    picture, model = noise(*shape, 3), Model(file)
    factor = min(32 / shape[0], 48 / shape[1])
    height, width = (int(side * factor + 0.5) for side in shape)
    whole = np.full((32, 48, 3), (9, 8, 7), np.uint8)
    whole[:height, :width] = cv2.resize(picture, (width, height))
    assert (model.prepare(picture) == whole.transpose(2, 0, 1)).all()
    logits = convolve(whole, weights)[..., :height, :width]
    wanted = torch.nn.functional.interpolate(logits, shape, mode="bilinear")[0].argmax(0).numpy()
    assert (model(picture)[0].labels == wanted).mean() > 0.9999

    masks = np.zeros((3, 16, 24), np.float32)
    masks[:, : height // 4] = 1  # the upper half of the picture, at half the size of the input
    facts = Metadata("detection", CLASSES, masks="picture", **facts)
    (result,) = Model(detector(tmp_path / "d.onnx", facts, masks=masks, **found))(picture)
    assert result.boxes[0] == pytest.approx(np.array([10, 10, 50, 40]) / factor, rel=0.05)
    assert result.masks[0].mean() == pytest.approx(0.5, abs=0.05)
    assert result.masks[0][0].all() and not result.masks[0][-1].any()
