from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import ExifTags, Image

from convnext_dense.config.steps.data import retarget
from convnext_dense.data.check import check_data


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
    with pytest.raises(FileNotFoundError, match=rf"{part}/validation \(val_dataloader.* `ann_val`"):
        check_data(cfg)


def test_no_images(cfg_on, label_maps):
    root = label_maps()
    cfg = cfg_on(root)
    for image in (root / "images" / "training").iterdir():
        image.unlink()
    with pytest.raises(ValueError, match=r"has no image that ends in \.jpg: `ann_train` names"):
        check_data(cfg)


def test_image_without_map(cfg_on, label_maps):
    root = label_maps()
    (root / "annotations" / "validation" / "2.png").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"1 of 2 label maps are missing.*validation/2\.png"
    ):
        check_data(cfg_on(root))


@pytest.mark.parametrize("name", ["3.png", "3.WebP"])
def test_images_of_another_kind_are_not_dropped(cfg_on, label_maps, name):
    root = label_maps()
    Image.new("RGB", (64, 48)).save(root / "images" / "training" / name)
    said = rf"1 images that do not end in \.jpg, the first is {name}"
    with pytest.raises(ValueError, match=said):
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


@pytest.mark.slow
def test_more_classes_than_a_label_map_tells_apart(cfg_on, label_maps):
    root = label_maps()
    names = [f"c{number}" for number in range(256)]
    check_data(cfg_on(root, classes=names[:254]))
    with pytest.raises(ValueError, match=r"has 255 classes, but .* can hold 254: 0 means"):
        check_data(cfg_on(root, classes=names[:255]))
    for number in (255, 256):
        cfg = cfg_on(root, classes=names[:number])
        cfg.train_dataloader.dataset.reduce_zero_label = False
        if number == 255:
            check_data(cfg, ("train",))
            continue
        with pytest.raises(ValueError, match=r"has 256 classes, but .* can hold 255: 255 is"):
            check_data(cfg, ("train",))


def test_labels_beyond_8_bits(cfg_on, label_maps):
    root = label_maps()
    labels = np.full((48, 64), 1, np.uint16)
    labels[0, 0] = 257  # 1 in its lower 8 bits
    Image.fromarray(labels).save(root / "annotations" / "training" / "1.png")
    with pytest.raises(
        ValueError, match=r"training/1\.png holds label 257: mmseg reads only 8 bits"
    ):
        check_data(cfg_on(root))


def test_no_labelled_pixel_anywhere(cfg_on, label_maps):
    root = label_maps((0, 255))
    with pytest.raises(
        ValueError, match=r"none of the 2 label maps of .* has a labelled pixel: 255"
    ):
        check_data(cfg_on(root), ("train",))
    # One labelled pixel in the last of many is enough.
    folders = root / "images" / "training", root / "annotations" / "training"
    for number in range(3, 30):
        for folder, suffix in zip(folders, (".jpg", ".png"), strict=True):
            shutil.copy(folder / f"1{suffix}", folder / f"{number}{suffix}")
    labels = np.full((48, 64), 255, np.uint8)
    labels[0, 0] = 1
    Image.fromarray(labels).save(folders[1] / "9.png")
    check_data(cfg_on(root), ("train",))


@pytest.mark.parametrize("size", [(64, 48), (48, 64)])
def test_a_map_may_be_of_the_image_before_it_is_turned_or_after(cfg_on, label_maps, size):
    root = label_maps()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (64, 48)).save(root / "images" / "training" / "1.jpg", exif=exif)
    Image.new("L", size, 1).save(root / "annotations" / "training" / "1.png")
    check_data(cfg_on(root), ("train",))
