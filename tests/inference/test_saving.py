"""Results in files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from convnext_dense.inference.saving import Saver, as_label_map
from convnext_dense_runtime.results import Detections, Prediction, Segmentation

CLASSES = ("cat", "dog")
PICTURE = np.zeros((4, 6, 3), np.uint8)


def detections(masks):
    boxes = np.array([[0, 0, 3, 2], [1, 1, 6, 4]], np.float32)
    scores = np.array([0.75, 0.5], np.float32)
    return Detections(boxes, scores, np.array([1, 0]), masks, CLASSES)


@pytest.fixture
def masks():
    found = np.zeros((2, 4, 6), bool)
    found[0, :2, :3] = True
    found[1, 1:, 1:] = True
    return found


def test_json_and_masks_of_detections(tmp_path, masks):
    from pycocotools.mask import decode

    saver = Saver(tmp_path, ("json", "masks"), CLASSES, None)
    saver.save("deep/a", Prediction("a.jpg", PICTURE, detections(masks)))
    written = json.loads((tmp_path / "json/deep/a.json").read_text())
    assert [decode(rle).tolist() for rle in written.pop("masks")] == masks.astype(int).tolist()
    assert written == dict(
        picture="a.jpg",
        width=6,
        height=4,
        boxes=[[0, 0, 3, 2], [1, 1, 6, 4]],
        scores=[0.75, 0.5],
        labels=[1, 0],
        names=["dog", "cat"],
    )
    labels = np.array(Image.open(tmp_path / "masks/deep/a.png"))
    # The surer first one lies on top of the second.
    assert labels[1].tolist() == [1, 1, 1, 2, 2, 2]
    assert labels[3].tolist() == [0, 2, 2, 2, 2, 2]


@pytest.mark.parametrize("kind", ["pictures", "json", "masks"])
def test_a_link_among_the_results_is_not_followed(tmp_path, masks, kind):
    out, outside = tmp_path / "out", tmp_path / "outside"
    out.mkdir()
    outside.mkdir()
    (out / kind).symlink_to(outside)
    saver = Saver(out, (kind,), CLASSES, None)
    with pytest.raises(
        ValueError, match=rf"out/{kind}/a\.\w+ leads out of .* through a symbolic link"
    ):
        saver.save("a", Prediction("a.jpg", PICTURE, detections(masks)))
    assert not list(outside.iterdir())


def test_boxes_alone_have_no_masks(tmp_path):
    seen = Prediction("a.jpg", PICTURE, detections(None))
    Saver(tmp_path, ("json",), CLASSES, None).save("a", seen)
    assert "masks" not in json.loads((tmp_path / "json/a.json").read_text())
    with pytest.raises(ValueError, match=r"`kinds=\('masks',\)`: the model predicts boxes only"):
        Saver(tmp_path, ("json", "masks"), CLASSES, None).save("a", seen)


def test_label_maps_are_numbered_as_those_of_the_data(tmp_path):
    labels = np.array([[0, 1, 1, 1]], np.uint8)
    for first in (0, 1):
        result = Segmentation(labels, CLASSES, first)
        assert (as_label_map(result) == labels + first).all()
    Saver(tmp_path, ("json",), CLASSES, None).save("a", Prediction("a.jpg", PICTURE, result))
    assert json.loads((tmp_path / "json/a.json").read_text())["shares"] == dict(cat=0.25, dog=0.75)


def test_many_objects_need_wider_numbers():
    masks = np.zeros((300, 1, 300), bool)
    masks[np.arange(300), 0, np.arange(300)] = True
    found = Detections(np.zeros((300, 4)), np.zeros(300), np.zeros(300, np.int64), masks, CLASSES)
    labels = as_label_map(found)
    assert labels.dtype == np.uint16
    assert labels[0].tolist() == list(range(1, 301))


def test_pictures(tmp_path):
    saver = Saver(tmp_path, ("pictures",), CLASSES, [(255, 0, 0), (0, 255, 0)])
    saver.save("a", Prediction("a.jpg", np.full((400, 700, 3), 90, np.uint8), detections(None)))
    with Image.open(tmp_path / "pictures/a.jpg") as picture:
        assert picture.size == (700, 400)
