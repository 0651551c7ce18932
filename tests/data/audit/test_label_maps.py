"""Images and label maps that are whole but for one thing, and what is said of them."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import ExifTags, Image

from convnext_dense.config.steps.data import retarget
from convnext_dense.data.audit import audit_data
from convnext_dense.data.audit.label_maps import check_pair
from convnext_dense.data.label_maps import learned_labels

GOOD = (0, 1, 2, 255)


@pytest.fixture
def cfg_on(upernet):
    return lambda root, **flags: retarget(
        upernet, data_root=str(root), **{"classes": "road,sky", **flags}
    )


@pytest.fixture
def audited(cfg_on, label_maps):
    """Audit a data set after ``spoil(images, maps)`` changed the folders of its training part."""

    def audit(spoil, labels=GOOD, **kwargs):
        root = label_maps(labels)
        cfg = cfg_on(root)
        spoil(root / "images" / "training", root / "annotations" / "training")
        return audit_data(cfg, **kwargs)

    return audit


def save_map(labels, name="1.png"):
    array = np.asarray(labels)
    return lambda images, maps: Image.fromarray(array).save(maps / name)


def filled(value, dtype=np.uint8, shape=(48, 64)):
    labels = np.full(shape, 1, dtype)
    labels[:, 32:] = 2
    labels[:4, 0] = value
    return labels


def test_good_data_gives_no_finding_and_its_counts(cfg_on, label_maps):
    audit = audit_data(cfg_on(label_maps(GOOD)))
    assert audit.findings == []
    assert [(c.where, c.images) for c in audit.checked] == [("train", 2), ("val, test", 2)]
    pixels = 2 * 48 * 64 // 4
    assert audit.checked[0].rows == [
        {"class": name, "images": 2, "pixels": pixels, "share": 50.0} for name in ("road", "sky")
    ]


def cut(images, maps):
    content = (maps / "1.png").read_bytes()
    (maps / "1.png").write_bytes(content[: len(content) // 2])


def turn(images, maps):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (64, 48), (7, 7, 7)).save(images / "1.jpg", exif=exif)


@pytest.mark.parametrize(
    ("spoil", "what", "place"),
    [
        (lambda images, maps: (maps / "1.png").unlink(), "label maps missing, of 2", "1.png"),
        (
            lambda images, maps: (images / "1.jpg").write_bytes(b"x"),
            "images that cannot be read",
            "",
        ),
        (cut, "label maps that cannot be read", ""),
        (save_map(np.zeros((48, 64, 3), np.uint8)), "label maps that hold colours", "1.png"),
        (
            save_map(filled(1, shape=(40, 64))),
            "label maps of another size than their image",
            "1.png: 64 x 40, image 64 x 48",
        ),
        (turn, "label maps of another size", "1.png: 64 x 48, image 48 x 64"),
        (save_map(filled(3)), "label maps with labels out of range (1 to 2 are", "1.png: 3"),
        (save_map(filled(300, np.uint16)), "label maps with labels out of range", "1.png: 300"),
        (
            lambda images, maps: (images / "3.png").write_bytes(b"x"),
            None,
            "",
        ),
    ],
)
def test_errors(audited, spoil, what, place):
    (error,) = audited(spoil).findings
    assert (error.level, error.where, error.count) == ("error", "train", 1)
    if what is None:  # told as training tells it
        assert "1 images that do not end in .jpg" in error.what
    else:
        assert error.what.startswith(what)
        assert error.places[0].endswith(place)


@pytest.mark.parametrize(
    ("spoil", "what", "place"),
    [
        (save_map(filled(1), "3.png"), "label maps without an image", "3.png"),
        (
            save_map(np.zeros((48, 64), np.uint8)),
            "label maps without a labelled pixel",
            "1.png",
        ),
    ],
)
def test_warnings(audited, spoil, what, place):
    (warning,) = audited(spoil).findings
    assert (warning.level, warning.where, warning.what) == ("warning", "train", what)
    assert warning.places[0].endswith(place)


def test_classes_without_a_pixel(cfg_on, label_maps):
    root = label_maps((0, 1))
    audit = audit_data(cfg_on(root))
    what = "classes without a pixel: where the labels begin at 0, reduce_zero_label is wrong"
    assert [(f.level, f.where, f.what, f.places) for f in audit.findings] == [
        ("warning", where, what, ("sky",)) for where in ("train", "val, test")
    ]
    audit = audit_data(cfg_on(root, classes="road,sky,tree"))
    assert [f.what for f in audit.findings] == ["classes without a pixel"] * 2


def test_labels_from_zero(cfg_on, label_maps):
    cfg = cfg_on(label_maps(GOOD))
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.reduce_zero_label = False
    errors = audit_data(cfg).findings
    assert [(error.where, error.what) for error in errors if not error.places] == [
        (
            where,
            f"{split}_dataloader.dataset.pipeline.{place}.reduce_zero_label is True, but "
            f"{split}_dataloader.dataset.reduce_zero_label is False: set both alike",
        )
        for where, split, place in (("train", "train", 1), ("val, test", "val", 2))
    ]
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        for transform in loader.dataset.pipeline:
            transform.pop("reduce_zero_label", None)
    errors = audit_data(cfg).findings
    assert [error.where for error in errors] == ["train", "val, test"]
    assert "(0 to 1 are classes, 255 is ignored)" in errors[0].what
    assert errors[0].count == 2 and errors[0].places[0].endswith("1.png: 2")


def test_the_heads_ignored_label_is_no_error(cfg_on, label_maps):
    cfg = cfg_on(label_maps((1, 2)))
    cfg.model.decode_head.ignore_index = 7
    assert audit_data(cfg).findings == []
    root = cfg.train_dataloader.dataset.data_root
    Image.fromarray(filled(8)).save(f"{root}/annotations/training/1.png")
    assert audit_data(cfg).findings == []
    Image.fromarray(filled(255)).save(f"{root}/annotations/training/2.png")
    (error,) = audit_data(cfg).findings
    assert error.places[0].endswith("2.png: 255")


@pytest.mark.parametrize("classes", [None, ("sky", "wall")])
def test_labels_are_those_that_mmseg_loads(tmp_path, classes):
    from mmseg.datasets import ADE20KDataset
    from mmseg.datasets.transforms import LoadAnnotations

    values = np.tile(np.arange(256, dtype=np.uint8), (2, 1))
    Image.fromarray(values).save(tmp_path / "1.png")
    dataset = ADE20KDataset(
        data_prefix=dict(img_path=str(tmp_path)),
        metainfo=classes and dict(classes=classes),
        lazy_init=True,
    )
    loaded = LoadAnnotations()(
        dict(
            seg_map_path=str(tmp_path / "1.png"),
            reduce_zero_label=dataset.reduce_zero_label,
            label_map=dataset.label_map,
            seg_fields=[],
        )
    )["gt_seg_map"]
    assert learned_labels(dataset) == dict(enumerate(loaded[0].tolist()))


def test_fast_reads_no_label(audited):
    audit = audited(save_map(filled(3)), fast=True)
    assert audit.findings == []
    assert [checked.rows for checked in audit.checked] == [[], []]


def test_fast_sees_sizes_and_colours(audited):
    (error,) = audited(save_map(np.zeros((48, 64, 3), np.uint8)), fast=True).findings
    assert error.what.startswith("label maps that hold colours")


def test_missing_folder(cfg_on, label_maps):
    root = label_maps(GOOD)
    cfg = cfg_on(root)
    shutil.rmtree(root / "annotations" / "validation")
    (error,) = audit_data(cfg).findings
    assert error.where == "val, test"
    assert f"folder {root}/annotations/validation (val_dataloader" in error.what


def test_hidden_truth_is_said(cfg_on, label_maps):
    root = label_maps(GOOD)
    cfg = cfg_on(root)
    cfg.test_dataloader.dataset.data_prefix.pop("seg_map_path")
    (note,) = audit_data(cfg).findings
    assert (note.level, note.where) == ("note", "test")
    assert note.what.endswith("is a BaseSegDataset: only the images were checked")
    (root / "images" / "validation" / "1.jpg").write_bytes(b"")
    errors = [finding.where for finding in audit_data(cfg).findings if finding.level == "error"]
    assert errors == ["val", "test"]


@pytest.mark.parametrize("reduce_zero_label", [False, True])
def test_masks_of_black_and_white(cfg_on, label_maps, reduce_zero_label):
    cfg = cfg_on(label_maps((0, 255)))
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.reduce_zero_label = reduce_zero_label
        for transform in loader.dataset.pipeline:
            transform.pop("reduce_zero_label", None)
    for where in ("train", "val, test"):
        found = [f for f in audit_data(cfg).findings if f.where == where]
        (masks,) = [f for f in found if "write the number of the class instead of 255" in f.what]
        if reduce_zero_label:
            assert masks.level == "error" and masks.what.startswith("no label map has a labelled")
        else:
            assert masks.level == "warning" and masks.places == ("50.0%",)


def test_nearly_nothing_is_labelled(audited):
    nothing = np.full((48, 64), 255, np.uint8)

    def spoil(images, maps):
        for number in (1, 2):
            labels = nothing.copy()
            labels[0, :number] = number
            Image.fromarray(labels).save(maps / f"{number}.png")

    (warning,) = audited(spoil).findings
    assert (warning.level, warning.places) == ("warning", ("100.0%",))
    assert warning.what == "nearly all pixels of the label maps are ignored"


def test_more_classes_than_a_label_map_tells_apart(cfg_on, label_maps):
    cfg = cfg_on(label_maps(GOOD), classes=[f"c{number}" for number in range(300)])
    errors = [f.what for f in audit_data(cfg).findings if f.level == "error"]
    assert len(errors) == 2
    assert all("has 300 classes, but" in what for what in errors)


def test_pictures_of_other_channels(cfg_on, label_maps):
    cfg = cfg_on(label_maps(GOOD))
    cfg.model.backbone.in_channels = 4
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.pipeline[0].color_type = "unchanged"
    errors = [f for f in audit_data(cfg).findings if f.level == "error"]
    assert {f.what for f in errors} == {
        "images of other channels than model.backbone.in_channels, which is 4"
    }
    assert errors[0].places[0].endswith("1.jpg: 3")


def test_a_label_map_that_is_a_decompression_bomb(audited, monkeypatch):
    monkeypatch.setenv("CONVNEXT_DENSE_MAX_PIXELS", str(48 * 64))
    (error,) = audited(save_map(filled(1, shape=(48, 65)))).findings
    assert error.what == "label maps that cannot be read"
    assert "states 65 x 48 pixels" in error.places[0]


def test_pillows_own_limit_of_pixels_does_not_count(tmp_path, monkeypatch):
    """The limit is ours, which a variable of the environment moves."""
    for name, values in (("image", np.zeros((10, 20, 3))), ("map", np.ones((10, 20)))):
        Image.fromarray(values.astype(np.uint8)).save(tmp_path / f"{name}.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    pair = str(tmp_path / "image.png"), str(tmp_path / "map.png")
    check = check_pair(pair, load=None, fast=False)
    assert check.problem is None and check.counts == {1: 200}
