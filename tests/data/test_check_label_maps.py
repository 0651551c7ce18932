from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from convnext_dense.data.check import check_data
from convnext_dense.data.retarget import retarget


@pytest.fixture
def cfg_on(upernet):
    """An UperNet of two classes on a data set."""
    return lambda root, **flags: retarget(
        upernet, data_root=str(root), **{"classes": "road,sky", **flags}
    )


def test_good_maps_pass(cfg_on, label_maps):
    check_data(cfg_on(label_maps((0, 1, 2, 255))), ("train", "val", "test"))


def test_label_beyond_the_classes(cfg_on, label_maps):
    cfg = cfg_on(label_maps((0, 1, 3)))
    with pytest.raises(ValueError, match=r"training/1\.png holds label 3, but .* has 2 classes"):
        check_data(cfg)


def test_labels_from_zero_have_one_less(cfg_on, label_maps):
    cfg = cfg_on(label_maps((0, 1, 2)))
    cfg.train_dataloader.dataset.reduce_zero_label = False
    with pytest.raises(ValueError, match=r"holds label 2, .* has 2 classes \(from 0;"):
        check_data(cfg)


def test_published_classes_are_those_of_ade20k(upernet, label_maps):
    check_data(retarget(upernet, data_root=str(label_maps((0, 150)))))


def test_labels_beyond_ade20k(upernet, label_maps):
    with pytest.raises(ValueError, match=r"holds label 151, but .* has 150 classes"):
        check_data(retarget(upernet, data_root=str(label_maps((0, 151)))))


@pytest.mark.parametrize("part", ["images", "annotations"])
def test_missing_folder(cfg_on, label_maps, part):
    cfg = cfg_on(label_maps())
    shutil.rmtree(cfg.val_dataloader.dataset.data_root + f"/{part}/validation")
    with pytest.raises(FileNotFoundError, match=rf"{part}/validation \(val_dataloader.* --ann-val"):
        check_data(cfg)


def test_no_images(cfg_on, label_maps):
    root = label_maps()
    cfg = cfg_on(root)
    for image in (root / "images" / "training").iterdir():
        image.unlink()
    with pytest.raises(ValueError, match=r"holds no image that ends in \.jpg: --ann-train names"):
        check_data(cfg)


def test_image_without_map(cfg_on, label_maps):
    root = label_maps()
    (root / "annotations" / "validation" / "2.png").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"1 of 2 label maps are missing.*validation/2\.png"
    ):
        check_data(cfg_on(root))


def test_images_of_another_kind_are_not_dropped(cfg_on, label_maps):
    root = label_maps()
    Image.new("RGB", (64, 48)).save(root / "images" / "training" / "3.png")
    with pytest.raises(ValueError, match=r"1 images that do not end in \.jpg, the first is 3\.png"):
        check_data(cfg_on(root))


def test_colour_picture_is_no_map(cfg_on, label_maps):
    root = label_maps()
    Image.new("RGB", (64, 48)).save(root / "annotations" / "training" / "1.png")
    with pytest.raises(ValueError, match=r"training/1\.png is a colour picture"):
        check_data(cfg_on(root))


def test_map_of_another_size(cfg_on, label_maps):
    root = label_maps()
    small = Image.fromarray(np.ones((24, 32), np.uint8))
    small.save(root / "annotations" / "training" / "2.png")
    with pytest.raises(ValueError, match=r"measures 32 x 24, but its image .* 64 x 48"):
        check_data(cfg_on(root))


def test_unnamed_classes(cfg_on, label_maps):
    cfg = cfg_on(label_maps())
    del cfg.train_dataloader.dataset["metainfo"]
    with pytest.raises(ValueError, match="a BaseSegDataset has no classes of its own: name them"):
        check_data(cfg)
