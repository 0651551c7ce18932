"""Pictures that are cut off, turned by EXIF, or not there at all."""

from __future__ import annotations

import numpy as np
import pytest
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmengine.config import ConfigDict
from mmengine.registry import TRANSFORMS
from PIL import ExifTags, Image

from convnext_dense.data.audit.pictures import (
    Picture,
    check_picture,
    image_loader,
    map_in_workers,
    report_pictures,
)
from convnext_dense.data.rules.findings import Findings

LOAD = LoadImageFromFile()


@pytest.fixture
def noise(tmp_path):
    """Save a picture of noise, 60 x 40, as it is told."""

    def save(name="a.jpg", orientation=1):
        pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        Image.fromarray(pixels).save(tmp_path / name, exif=exif)
        return tmp_path / name

    return save


def found(path, annotated, load=LOAD, fast=False):
    findings = Findings("train")
    picture = Picture(str(path), annotated)
    report_pictures(findings, [picture], [check_picture(picture.path, load, fast)])
    return findings.found


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_a_picture_that_is_cut_off(noise, name):
    path = noise(name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (error,) = found(path, (60, 40))
    assert (error.level, error.what) == ("error", "images that cannot be read")
    assert str(path) in error.places[0]
    assert found(path, (60, 40), fast=True) == []


@pytest.mark.parametrize("content", [b"", b"no picture"])
@pytest.mark.parametrize("fast", [False, True])
def test_a_file_that_is_no_picture(tmp_path, content, fast):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    (error,) = found(path, None, fast=fast)
    assert error.what == "images that cannot be read"
    assert "OpenCV" not in error.places[0]


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_sizes_are_those_that_training_sees(noise, orientation, fast):
    path = noise(orientation=orientation)
    height, width = LOAD(dict(img_path=str(path)))["img"].shape[:2]
    assert check_picture(str(path), LOAD, fast).size == (width, height)
    unturned = LoadImageFromFile(color_type="unchanged")
    height, width = unturned(dict(img_path=str(path)))["img"].shape[:2]
    assert check_picture(str(path), unturned, fast).size == (width, height) == (60, 40)


@pytest.mark.parametrize("fast", [False, True])
def test_a_lying_picture_is_of_another_size(noise, fast):
    path = noise(orientation=6)
    assert found(path, (40, 60), fast=fast) == []
    (error,) = found(path, (60, 40), fast=fast)
    assert (error.level, error.what) == ("error", "images of another size than annotated")
    assert error.places == (f"{path}: 40 x 60, annotated 60 x 40 (turned by its EXIF orientation)",)


@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_a_picture_that_is_turned_within_its_size_is_a_warning(noise, orientation):
    path = noise(orientation=orientation)
    (warning,) = found(path, (60, 40))
    assert (warning.level, warning.places) == ("warning", (f"{path}: orientation {orientation}",))
    assert found(path, (60, 40), LoadImageFromFile(color_type="unchanged")) == []


def test_pictures_larger_than_pil_likes_are_read(noise, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert found(noise(), (60, 40)) == []
    assert Image.MAX_IMAGE_PIXELS == 100


def test_a_format_that_pil_does_not_know(tmp_path):
    path = tmp_path / "a.npy"
    path.write_bytes(b"raw")
    assert found(path, (3, 2), lambda results: dict(img=np.zeros((2, 3, 3)))) == []


def test_the_loader_is_that_of_the_pipeline():
    pipeline = [dict(type="mmdet.LoadImageFromFile", color_type="unchanged")]
    assert image_loader(ConfigDict(pipeline=pipeline)).color_type == "unchanged"
    assert image_loader(ConfigDict(pipeline=[dict(type="LoadImageFromNDArray")])) is None


@TRANSFORMS.register_module()
class LoadBands(BaseTransform):
    """As a user's own loader may."""

    def transform(self, results):
        results["img"] = np.load(results["img_path"])
        return results


@pytest.mark.parametrize("fast", [False, True])
def test_a_loader_of_the_users_own_reads_its_format(tmp_path, fast):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((40, 60, 13), np.uint16))
    load = image_loader(ConfigDict(pipeline=[dict(type="LoadBands")]))
    assert found(path, (60, 40), load, fast) == []
    assert check_picture(str(path), load, fast).channels == 13
    path.write_bytes(path.read_bytes()[:500])
    (error,) = found(path, (60, 40), load, fast)
    assert error.what == "images that cannot be read"


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_workers_keep_the_order(workers):
    items = list(range(-50, 50))
    assert list(map_in_workers(abs, items, workers, "numbers")) == [abs(item) for item in items]
