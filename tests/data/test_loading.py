"""The loading transforms of a run: what they refuse, what they say, what they leave alone."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmengine.config import ConfigDict
from mmengine.registry import TRANSFORMS
from PIL import ExifTags, Image
from torch.utils.data import DataLoader, Dataset

import convnext_dense  # noqa: F401  makes mmseg importable
from convnext_dense.config.checked_loading import check_channels, check_preprocessor
from convnext_dense.data import loading
from convnext_dense.data.audit.pictures import Picture, check_picture, report_pictures
from convnext_dense.data.loading import CheckChannels, LoadPicture, ScaleValues
from convnext_dense.data.loading_labels import LoadLabelMap
from convnext_dense.data.rules.findings import Findings

SIZE = 60, 40


@pytest.fixture
def said(monkeypatch) -> list[str]:
    """What is logged, message by message."""
    messages = []
    monkeypatch.setattr(loading, "print_log", lambda message, **_: messages.append(message))
    return messages


@pytest.fixture
def save(tmp_path):
    """Save a picture of noise."""

    def save(name="a.png", orientation=1, channels=3, dtype=np.uint8, frames=1):
        highest = 4096 if dtype == np.uint16 else 256
        pixels = np.random.default_rng(0).integers(0, highest, (40, 60, channels), dtype)
        path = tmp_path / name
        if dtype == np.uint16 or channels == 4:
            cv2.imwrite(str(path), pixels)
            return path
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        others = [Image.new("RGB", SIZE, (index, 0, 0)) for index in range(1, frames)]
        several = dict(save_all=True, append_images=others) if others else {}
        Image.fromarray(pixels.squeeze()).save(path, exif=exif, **several)
        return path

    return save


def load(path, size=None, **options) -> dict:
    annotated = dict(width=size[0], height=size[1], instances=[]) if size else {}
    return LoadPicture(**options)(dict(img_path=str(path), **annotated))


@pytest.mark.parametrize("color_type", ["color", "grayscale", "unchanged"])
@pytest.mark.parametrize("to_float32", [False, True])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_good_picture_is_loaded_as_by_mmcv(save, color_type, to_float32, orientation):
    path = save("a.jpg", orientation)
    options = dict(color_type=color_type, to_float32=to_float32)
    theirs = LoadImageFromFile(**options)(dict(img_path=str(path)))
    ours = load(path, **options)
    assert ours.keys() == theirs.keys()
    np.testing.assert_array_equal(ours["img"], theirs["img"])
    assert ours["img"].dtype == theirs["img"].dtype
    assert (ours["img_shape"], ours["ori_shape"]) == (theirs["img_shape"], theirs["ori_shape"])


def test_empty_pictures_may_be_left_out(tmp_path):
    (tmp_path / "a.jpg").touch()
    assert load(tmp_path / "a.jpg", ignore_empty=True) is None


@pytest.mark.parametrize("size", [(40, 60), (30, 20), (60, 41)])
def test_another_size_than_annotated(save, size):
    load(save(), SIZE)
    with pytest.raises(ValueError, match=rf"a\.png: 60 x 40, annotated {size[0]} x {size[1]}: "):
        load(save(), size)


def test_a_picture_that_is_turned_and_its_annotations_are_not(save):
    path = save("a.jpg", orientation=6)
    load(path, (40, 60))
    with pytest.raises(ValueError, match=r"annotated 60 x 40 \(turned by its EXIF orientation\)"):
        load(path, SIZE)
    assert load(path, SIZE, color_type="color_ignore_orientation")["img_shape"] == (40, 60)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(dtype=np.uint16), "holds 16 bits per value, of which LoadImageFromFile keeps 8"),
        (dict(name="a.tiff", frames=2), "only the first is used"),
        (dict(name="a.gif", frames=2), "only the first is used"),
        (dict(name="a.webp", frames=2), "only the first is used"),
        (dict(name="a.jpg", orientation=3), "EXIF orientation 3"),
    ],
)
def test_what_is_left_out_is_said_once(save, said, options, words):
    path = save(**options)
    transform = LoadPicture()
    for _ in range(2):
        transform(dict(img_path=str(path), width=60, height=40, instances=[]))
    assert len(said) == 1
    assert str(path) in said[0] and words in said[0]


def test_of_a_good_picture_nothing_is_said(save, said):
    load(save("a.jpg"), SIZE)
    load(save("b.jpg", orientation=3))  # without annotations
    load(save("c.jpg", orientation=6), SIZE[::-1])  # annotated as it is shown
    load(save("d.png", dtype=np.uint16), SIZE, color_type="unchanged")
    assert said == []


class Many(Dataset):
    def __init__(self, path):
        self.path, self.transform = str(path), LoadPicture()

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return self.transform(dict(img_path=self.path))["img_shape"]


@pytest.mark.slow
def test_worker_processes_speak_once_together(save, tmp_path, monkeypatch):
    log = tmp_path / "log"

    def write(message, **_):
        with log.open("a") as file:
            file.write(message + "\n")

    monkeypatch.setattr(loading, "print_log", write)
    loader = DataLoader(Many(save(dtype=np.uint16)), num_workers=2, batch_size=4)
    for _ in range(2):
        assert len(list(loader)) == 2
    # Two workers may speak in the same instant.
    assert 1 <= len(log.read_text().splitlines()) <= 2


@given(
    low=st.integers(0, 100),
    span=st.integers(1, 65535),
    values=st.lists(st.integers(0, 65535), min_size=1, max_size=6),
)
@settings(deadline=None, derandomize=True, max_examples=50)
def test_scaled_values(low, span, values):
    image = np.array([values], np.uint16)
    scaled = ScaleValues(high=low + span, low=low)(dict(img=image))["img"]
    assert (scaled.shape, scaled.dtype) == ((1, len(values), 3), np.float32)
    expected = np.clip((np.array(values) - low) / span, 0, 1) * 255
    np.testing.assert_allclose(scaled[0, :, 0], expected, atol=0.01)
    assert np.ptp(scaled, axis=2).max() == 0


def test_a_scale_of_no_values_is_refused():
    with pytest.raises(ValueError, match="high=4, low=4"):
        ScaleValues(high=4, low=4)


def run_channels(pipeline, image, channels):
    from mmcv.transforms import Compose

    pipeline = [ConfigDict(step) for step in pipeline]
    check_channels(pipeline, channels)
    steps = [step for step in pipeline if not step["type"].startswith(("Load", "Pack"))]
    return Compose(steps)(dict(img=image, img_path="a.png"))


@TRANSFORMS.register_module()
class DropChannels(BaseTransform):
    """As a transform of somebody's may."""

    def transform(self, results):
        results["img"] = np.resize(results["img"], (8, 8, 3))
        return results


@pytest.mark.parametrize("kind", ["PhotoMetricDistortion", "mmdet.YOLOXHSVRandomAug"])
def test_a_transform_for_colours_is_named_before_the_run(kind):
    pipeline = [ConfigDict(type="LoadImageFromFile"), ConfigDict(type=kind)]
    check_channels(pipeline, 3)
    with pytest.raises(
        ValueError, match=rf"{kind.rpartition('.')[2]} works on pictures with three"
    ):
        check_channels(pipeline, 4)


@pytest.mark.parametrize("channels", [2, 4, 13])
def test_a_transform_that_drops_channels_is_named(channels):
    drop = dict(type="DropChannels")
    pipeline = [
        dict(type="LoadImageFromFile", color_type="unchanged"),
        drop,
        dict(type="PackInputs"),
    ]
    with pytest.raises(ValueError, match=rf"a\.png: DropChannels changes {channels} channels to 3"):
        run_channels(pipeline, np.zeros((8, 8, channels), np.uint8), channels)


def test_channels_that_the_model_does_not_take():
    pipeline = [
        dict(type="LoadImageFromFile", color_type="unchanged"),
        dict(type="RandomFlip", prob=0.0),
        dict(type="PackInputs"),
    ]
    run_channels(pipeline, np.zeros((8, 8, 3), np.uint8), 3)
    with pytest.raises(ValueError, match=r"comes out of the pipeline with 1 channels, but .* 3"):
        run_channels(pipeline, np.zeros((8, 8), np.uint8), 3)
    scaled = [*pipeline[:1], dict(type="ScaleValues", high=4095), *pipeline[1:]]
    assert run_channels(scaled, np.zeros((8, 8), np.uint16), 3)["img"].shape == (8, 8, 3)


def test_pictures_in_colour_are_not_checked_again():
    pipeline = [ConfigDict(type="LoadImageFromFile"), ConfigDict(type="PackDetInputs")]
    check_channels(pipeline, 3)
    assert len(pipeline) == 2
    check_channels(pipeline, 4)
    check_channels(pipeline, 4)
    assert [step.type for step in pipeline] == [
        "LoadImageFromFile",
        "CheckChannels",
        "PackDetInputs",
    ]


def test_the_data_preprocessor_takes_the_models_channels():
    def model(channels, **preprocessor):
        return ConfigDict(backbone=dict(in_channels=channels), data_preprocessor=preprocessor)

    check_preprocessor(model(3, mean=[1, 2, 3], std=[1, 2, 3], bgr_to_rgb=True), 3)
    check_preprocessor(model(4, mean=[1], std=[1], bgr_to_rgb=False), 4)
    with pytest.raises(ValueError, match=r"data_preprocessor\.bgr_to_rgb keeps three channels"):
        check_preprocessor(model(4, mean=[1], std=[1], bgr_to_rgb=True), 4)
    with pytest.raises(ValueError, match=r"data_preprocessor\.mean has 3 values"):
        check_preprocessor(model(4, mean=[1, 2, 3], std=[1, 2, 3]), 4)


@pytest.fixture
def label_map(tmp_path):
    """Write a label map and load it with its image, of 60 x 40 pixels."""

    def label_map(labels, shape=(40, 60), reduce_zero_label=False, classes=3, spoil=bytes):
        buffer = io.BytesIO()
        Image.fromarray(np.asarray(labels)).save(buffer, "PNG")
        (tmp_path / "a.png").write_bytes(spoil(buffer.getvalue()))
        results = dict(
            img_path="a.jpg",
            seg_map_path=str(tmp_path / "a.png"),
            ori_shape=shape,
            reduce_zero_label=reduce_zero_label,
            seg_fields=[],
        )
        return LoadLabelMap(num_classes=classes, ignored=9)(results)["gt_seg_map"]

    return label_map


def filled(value, dtype=np.uint8):
    labels = np.ones((40, 60), dtype)
    labels[:2, :2] = value
    return labels


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("value", [0, 2, 9, 255])
def test_good_label_maps(label_map, dtype, value):
    loaded = label_map(filled(value, dtype))
    np.testing.assert_array_equal(loaded, filled(value))
    assert loaded.dtype == np.uint8


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (filled(3), "holds label 3, but the classes are 0 to 2, and 255 is ignored"),
        (filled(256, np.uint16), "holds label 256: mmseg reads only 8 bits"),
        (filled(65535, np.uint16), "holds label 65535: mmseg reads only 8 bits"),
        (np.zeros((40, 60, 3), np.uint8), r"is a colour picture \(mode RGB\)"),
        (np.zeros((40, 60, 4), np.uint8), r"is a colour picture \(mode RGBA\)"),
        (np.ones((60, 40), np.uint8), "measures 40 x 60, but its image a.jpg 60 x 40"),
    ],
)
def test_label_maps_that_are_refused(label_map, labels, words):
    with pytest.raises(ValueError, match=words):
        label_map(labels)


def test_labels_that_begin_at_one(label_map):
    assert label_map(filled(3), reduce_zero_label=True).max() == 2
    assert label_map(filled(0), reduce_zero_label=True).max() == 255
    with pytest.raises(ValueError, match="holds label 4, but the classes are 1 to 3"):
        label_map(filled(4), reduce_zero_label=True)


def test_a_label_map_that_is_cut_off(label_map):
    with pytest.raises(ValueError, match=r"a\.png is not a whole PNG: "):
        label_map(filled(2), spoil=lambda content: content[: len(content) // 2])


@pytest.mark.slow
@given(
    suffix=st.sampled_from([".png", ".jpg", ".tiff"]),
    channels=st.sampled_from([1, 3, 4]),
    wide=st.booleans(),
    orientation=st.sampled_from([None, 1, 3, 6, 8]),
    annotated=st.sampled_from(["shown", "exchanged", "other"]),
    damage=st.sampled_from([None, None, "cut", "zeroed", "empty"]),
    color_type=st.sampled_from(["color", "unchanged"]),
    seed=st.integers(0, 9),
)
@settings(deadline=None, derandomize=True, max_examples=150)
def test_check_and_loader_say_the_same(
    tmp_path_factory, suffix, channels, wide, orientation, annotated, damage, color_type, seed
):
    """Each picture is loaded as it is, or refused by its name; check and loader agree."""
    wide = wide and suffix != ".jpg"
    channels = 3 if suffix == ".jpg" and channels == 4 else channels
    noise = np.random.default_rng(seed).integers(0, 256, (48, 64, channels), np.uint8)
    pixels = cv2.GaussianBlur(noise, (0, 0), 1).reshape(48, 64, channels)
    pixels = pixels.astype(np.uint16) * 16 if wide else pixels
    content = cv2.imencode(suffix, pixels)[1].tobytes()
    if orientation and suffix == ".jpg":
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        buffer = io.BytesIO()
        Image.open(io.BytesIO(content)).save(buffer, "JPEG", exif=exif)
        content = buffer.getvalue()
    path = tmp_path_factory.mktemp("pictures") / f"a{suffix}"
    path.write_bytes(content)
    flag = cv2.IMREAD_COLOR if color_type == "color" else cv2.IMREAD_UNCHANGED
    truth = cv2.imread(str(path), flag)
    shown = truth.shape[1::-1]
    size = dict(shown=shown, exchanged=shown[::-1], other=(33, 44))[annotated]
    # Uncompressed values have no redundancy that could tell.
    damage = "cut" if damage == "zeroed" and suffix == ".tiff" else damage
    middle = len(content) // 2
    path.write_bytes(
        dict(
            cut=content[:middle],
            zeroed=content[:middle] + bytes(200) + content[middle + 200 :],
            empty=b"",
        ).get(damage, content)
    )
    with pytest.MonkeyPatch.context() as patch:
        said = []
        patch.setattr(loading, "print_log", lambda message, **_: said.append(message))
        try:
            loaded = load(path, size, color_type=color_type)["img"]
        except ValueError as error:
            loaded = None
            assert str(path) in str(error)
    findings = Findings("train")
    look = check_picture(str(path), LoadPicture(color_type=color_type), fast=False)
    report_pictures(findings, [Picture(str(path), size)], [look], channels=None)
    errors = [finding for finding in findings.found if finding.level == "error"]
    assert (loaded is None) == bool(errors) == bool(damage or size != shown)
    if loaded is not None:
        np.testing.assert_array_equal(loaded, truth)
        warned = {finding.what for finding in findings.found}
        assert len(said) == len(warned)
        assert any("8 bits" in what for what in warned) == (wide and color_type == "color")
    else:
        assert all(str(path) in finding.places[0] for finding in errors)


def test_each_channel_check_stands_alone():
    results = dict(img=np.zeros((2, 2, 3)), img_path="a.png")
    assert CheckChannels(channels=4, after="LoadImageFromFile", last=False)(results) is results
