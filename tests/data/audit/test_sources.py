"""What a check of another tool's data set counts and finds."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from convnext_dense.data.audit import audit_source
from convnext_dense.data.formats.detect import open_source


@pytest.fixture
def write(tmp_path):
    """Write files below a folder: pictures by their size, others by their text."""

    def files(contents):
        for name, content in contents.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, str):
                path.write_text(content)
            else:
                image = Image.fromarray(np.asarray(content, np.uint8))
                image.save(path)
        return tmp_path

    return files


def noise(seed, size=(200, 100)):
    return np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8)


@pytest.fixture
def yolo(write):
    return write(
        {
            "data.yaml": "train: images/train\nval: images/val\nnames: [cat, dog, fish]\n",
            "images/train/a.png": noise(0),
            "images/train/b.png": noise(1),
            "images/val/c.png": noise(2),
            "labels/train/a.txt": "0 0.5 0.5 0.1 0.2\n0 0.5 0.5 1 1\n1 0.5 0.5 0.2 0.4\n",
            "labels/train/b.txt": "0 0.1 0.1 0.9 0.1 0.9 0.5\n9 0.5 0.5 0.1 0.1\nnothing\n",
            "labels/val/c.txt": "2 0.5 0.5 0.1 0.1\n",
        }
    )


def found(audit):
    return {(one.level, one.where, one.what.split(":")[0], one.count) for one in audit.findings}


@pytest.mark.parametrize("fast", [False, True])
def test_counts_and_losses(yolo, fast):
    audit = audit_source(open_source(yolo), fast=fast, workers=0)
    train, val = audit.checked
    assert (train.where, train.images, val.where, val.images) == ("train", 2, "val", 1)
    empty = dict(images=0, objects=0, small=0, medium=0, large=0, crowds=0)
    assert train.rows == [
        empty | {"class": "cat", "images": 2, "objects": 3, "small": 1, "medium": 1, "large": 1},
        empty | {"class": "dog", "images": 1, "objects": 1, "medium": 1},
        empty | {"class": "fish"},
    ]
    assert val.rows[2] == empty | {"class": "fish", "images": 1, "objects": 1, "small": 1}
    assert found(audit) == {
        ("error", "all", "objects of a class id that has no name (1 object left out)", 1),
        ("error", "all", "lines of YOLO that are not a class and numbers (1 object left out)", 1),
    }
    assert json.loads(json.dumps(audit.as_dict()))["datasets"][0]["rows"] == train.rows


def test_damaged_pictures_and_pictures_of_both_sides(yolo):
    path = yolo / "images/train/b.png"
    path.write_bytes(path.read_bytes()[:-2000])
    (yolo / "images/val/c.png").write_bytes((yolo / "images/train/a.png").read_bytes())
    audit = audit_source(open_source(yolo), workers=0)
    assert ("error", "train", "images that cannot be read", 1) in found(audit)
    leak = "pictures of training that are in validation or test too, by their content"
    assert ("warning", "train, val, test", leak, 1) in found(audit)


def test_label_maps(write):
    root = write(
        {
            "images/training/a.png": noise(0, (4, 2)),
            "annotations/training/a.png": [[0, 1, 1, 255], [1, 1, 2, 9]],
            "images/training/b.png": noise(1, (4, 2)),
            "annotations/training/b.png": [[0, 1, 1, 255]],
        }
    )
    audit = audit_source(open_source(root, classes=["sky", "road"]), workers=0)
    (checked,) = audit.checked
    assert checked.rows == [
        {"class": "sky", "images": 2, "pixels": 6, "share": 85.71},
        {"class": "road", "images": 1, "pixels": 1, "share": 14.29},
    ]
    assert found(audit) == {
        ("error", "train", "labels that are no class", 1),
        ("error", "train", "label maps of another size than their image", 1),
    }


def test_a_source_in_which_nothing_is_labelled(write):
    root = write({"data.yaml": "train: .\nnames: [cat]\n", "a.png": noise(0)})
    audit = audit_source(open_source(root), workers=0)
    assert ("error", "train", "nothing is labelled", 1) in found(audit)
    (root / "a.png").unlink()
    audit = audit_source(open_source(root), workers=0)
    what = "no picture with its labels is in the source"
    assert ("error", "all", what, 1) in found(audit)
