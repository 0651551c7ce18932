"""Prediction on pictures of other channels than three, and under the caller's autocast."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmengine.registry import TRANSFORMS

import convnext_dense  # noqa: F401  first, since it makes mmseg importable
from convnext_dense.inference import Predictor
from convnext_dense.inference.model import MODELS, DefaultScope
from convnext_dense.inference.saving import Saver
from convnext_dense_runtime.results import Unreadable

pytestmark = pytest.mark.slow

SEGMENTER = Path(__file__).parents[2] / "configs" / "seg" / "upernet_convnext_t_ade20k.py"
CLASSES = ("road", "sky")


@pytest.fixture
def segmenter(tmp_path):
    """Build a small segmenter of some channels with a checkpoint of random weights."""

    def build(channels=3, classes=CLASSES, loader=None, **preprocessor):
        cfg = Config.fromfile(SEGMENTER)
        model = cfg.model
        model.backbone.arch = dict(depths=[1, 1, 1, 1], channels=[8, 16, 32, 64])
        model.backbone.update(in_channels=channels, init_cfg=None)
        model.decode_head.update(in_channels=[8, 16, 32, 64], channels=8, num_classes=len(classes))
        model.auxiliary_head.update(in_channels=32, channels=8, num_classes=len(classes))
        model.test_cfg = dict(mode="whole")
        if channels != 3:
            model.data_preprocessor.update(mean=[127], std=[60], bgr_to_rgb=False)
        model.data_preprocessor.update(preprocessor)
        dataset = cfg.test_dataloader.dataset
        dataset.update(type="BaseSegDataset", metainfo=dict(classes=classes))
        dataset.pipeline[0].update(loader or {})
        for step in dataset.pipeline:
            if step.type == "Resize":
                step.scale = (64, 64)
        with DefaultScope.overwrite_default_scope("mmseg"):
            state = MODELS.build(model).state_dict()
        path = tmp_path / "model.pth"
        torch.save(dict(state_dict=state, meta={}), path)
        return cfg, path

    return build


def picture(channels, dtype=np.uint8, highest=256):
    return np.random.default_rng(0).integers(0, highest, (48, 64, channels), dtype)


@pytest.mark.parametrize("channels", [1, 2, 4, 13])
def test_arrays_of_the_models_channels_are_drawn_in_three_bands(segmenter, tmp_path, channels):
    predictor = Predictor(*segmenter(channels, loader=dict(color_type="unchanged")), device="cpu")
    (seen,) = predictor.stream([picture(channels)])
    assert seen.result.labels.shape == (48, 64)
    assert (seen.picture.shape, seen.picture.dtype) == ((48, 64, 3), np.uint8)
    Saver(tmp_path, ("pictures",), CLASSES, None).save("a", seen)
    assert (tmp_path / "pictures" / "a.jpg").is_file()
    (other,) = predictor.stream([picture(channels + 1)])
    assert isinstance(other.result, Unreadable)
    assert f"model.backbone.in_channels is {channels}" in other.result.reason


def test_a_file_of_four_channels(segmenter, tmp_path):
    predictor = Predictor(*segmenter(4, loader=dict(color_type="unchanged")), device="cpu")
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), picture(4))
    (from_file,), (from_array,) = predictor(path), predictor(picture(4))
    np.testing.assert_array_equal(from_file.labels, from_array.labels)
    cv2.imwrite(str(path), picture(3))
    with pytest.raises(ValueError, match=r"a\.png: .* with 3 channels, but .* is 4"):
        predictor(path)


def test_a_preprocessor_for_three_channels_is_named(segmenter):
    with pytest.raises(ValueError, match=r"data_preprocessor\.mean has 3 values"):
        Predictor(*segmenter(4, mean=[1, 2, 3], std=[1, 2, 3]), device="cpu")


@pytest.mark.parametrize(
    "array", [picture(4), picture(3).astype(np.float32), picture(1)[..., 0], picture(3)[0]]
)
def test_a_model_for_colours_takes_arrays_of_colours_alone(segmenter, array):
    with pytest.raises(ValueError, match=r"an array is \(H, W, 3\) of uint8"):
        Predictor(*segmenter(), device="cpu")(array)


def test_pictures_of_16_bits_are_scaled(segmenter, tmp_path):
    cfg, checkpoint = segmenter(3, loader=dict(color_type="unchanged"))
    plain = Predictor(cfg, checkpoint, device="cpu")
    cfg.test_dataloader.dataset.pipeline.insert(1, dict(type="ScaleValues", high=255 * 16))
    predictor = Predictor(cfg, checkpoint, device="cpu")
    values = picture(3)
    cv2.imwrite(str(tmp_path / "a.png"), values.astype(np.uint16) * 16)
    (scaled,), (expected,) = predictor(tmp_path / "a.png"), plain(values)
    assert (scaled.labels != expected.labels).mean() < 0.01
    cv2.imwrite(str(tmp_path / "grey.png"), values[..., 0].astype(np.uint16) * 16)
    assert predictor(tmp_path / "grey.png")[0].labels.shape == (48, 64)


def test_more_classes_than_a_label_map_tells_apart(segmenter):
    with pytest.raises(ValueError, match=r"has 300 classes, but .* can hold 255"):
        Predictor(*segmenter(classes=tuple(map(str, range(300)))), device="cpu")


def test_the_callers_autocast_reaches_the_threads(segmenter):
    predictor = Predictor(*segmenter(), device="cpu", batch_size=2)
    types = []
    layer = predictor.model.decode_head.conv_seg
    layer.register_forward_hook(lambda module, inputs, output: types.append(output.dtype))
    pictures = [picture(3)] * 5
    with torch.autocast("cpu", dtype=torch.bfloat16):
        predictor(pictures)
    assert set(types) == {torch.bfloat16}
    types.clear()
    predictor(pictures)
    assert set(types) == {torch.float32}
    with torch.autocast("cpu", enabled=False):
        predictor(pictures)
    assert set(types) == {torch.float32}


@TRANSFORMS.register_module()
class LoadNumpy(BaseTransform):
    """As a user's own loader may."""

    def transform(self, results):
        image = np.load(results["img_path"])
        shape = image.shape[:2]
        return results | dict(img=image, img_shape=shape, ori_shape=shape)


def test_a_loader_of_the_users_own(segmenter, tmp_path):
    cfg, checkpoint = segmenter(13)
    cfg.test_dataloader.dataset.pipeline[0] = dict(type="LoadNumpy")
    predictor = Predictor(cfg, checkpoint, device="cpu")
    np.save(tmp_path / "a.npy", picture(13))
    (from_file,), (from_array,) = predictor(tmp_path / "a.npy"), predictor(picture(13))
    np.testing.assert_array_equal(from_file.labels, from_array.labels)
