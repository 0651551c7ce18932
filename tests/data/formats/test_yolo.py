"""YOLO's layouts, lines and mistakes."""

from __future__ import annotations

import numpy as np
import pytest

from convnext_dense.data.formats.detect import open_source

YAML = "train: images/train\nval: images/val\nnames:\n  0: a\n  1: b c\n"


@pytest.fixture
def one(tree):
    """A data set of one picture of 40 x 30, whose lines are written by the test."""

    def write(lines, yaml="train: images\nnames: [a, b]\n", size=(40, 30), **kwargs):
        tree.picture("images/p.jpg", size, **kwargs)
        tree.text("labels/p.txt", lines)
        tree.text("data.yaml", yaml)
        return tree.read()

    return write


def test_boxes_and_outlines_in_pixels(one):
    read = one("0 0.5 0.5 0.25 0.5\n1 0.1 0.1 0.9 0.1 0.5 0.8\n")
    box, outline = read.objects
    assert (box.label, box.polygons, box.place) == ("a", (), "labels/p.txt, line 1")
    assert box.box == pytest.approx((15, 7.5, 25, 22.5))
    assert outline.label == "b"
    np.testing.assert_allclose(outline.polygons[0], [(4, 3), (36, 3), (20, 24)])
    assert outline.box == pytest.approx((4, 3, 36, 24))
    assert read.losses == []


def test_an_oriented_box_is_an_outline_of_four_points(one):
    read = one("0 0.5 0.1 0.9 0.5 0.5 0.9 0.1 0.5")
    np.testing.assert_allclose(read.objects[0].polygons[0], [(20, 3), (36, 15), (20, 27), (4, 15)])


@pytest.mark.parametrize(
    ("line", "said", "lost"),
    [
        ("0 0.5 0.5 0.25", "neither", 1),
        ("0 0.1 0.1 0.9 0.1 0.5 0.8 0.3", "neither", 1),
        ("0", "neither", 1),
        ("car 0.5 0.5 0.2 0.2", "not a class and numbers", 1),
        ("-1 0.5 0.5 0.2 0.2", "not a class and numbers", 1),
        ("nan 0.5 0.5 0.2 0.2", "not a class and numbers", 1),
        ("7 0.5 0.5 0.2 0.2", "no name", 1),
        ("0.5 0.5 0.5 0.2 0.2", "no name", 1),
        ("0 nan 0.5 0.2 0.2", "far beyond 1", 1),
        ("0 0.5 inf 0.2 0.2", "far beyond 1", 1),
        ("0 20 15 8 8", "far beyond 1", 1),
        ("0 0.5 0.5 0 0.2", "no area", 1),
        ("0 0.5 0.5 -0.2 0.2", "no area", 1),
        ("0 0.1 0.1 0.5 0.5 0.9 0.9", "no area", 1),
        ("0 1.4 0.5 0.2 0.2", "outside", 1),
        ("0 1.1 0.1 1.9 0.1 1.5 0.8", "outside", 1),
        ("0 0.95 0.5 0.5 0.2", "cut off", 0),
        ("0 0.1 0.1 1.9 0.1 0.5 0.8", "cut off", 0),
        ("0 0.5 0.5 0.25 0.5 0.87", "confidence", 0),
    ],
)
def test_each_fault_is_counted_with_its_line(one, line, said, lost):
    read = one(f"1 0.5 0.5 0.2 0.2\n\n{line}\n")
    assert len(read.objects) == 2 - lost and read.lost == lost
    (loss,) = read.losses
    assert said in loss.what and loss.place == "labels/p.txt, line 3" and loss.error == bool(lost)


def test_what_is_beyond_the_edge_is_cut_and_what_is_inside_stays(one):
    read = one("0 0.95 0.5 0.5 0.2\n0 0.5 0.1 1.5 0.1 1.5 0.9 0.5 0.9")
    box, outline = read.objects
    assert box.box == pytest.approx((28, 12, 40, 18))
    assert outline.box == pytest.approx((20, 3, 40, 27))


def test_rounding_beyond_the_edge_is_not_worth_a_word(one):
    read = one("0 0.5 0.5 1.000001 1.000002")
    assert read.objects[0].box == (0, 0, 40, 30) and read.losses == []


@pytest.mark.parametrize(
    ("yaml", "line"),
    [
        ("kpt_shape: [2, 2]\n", "0 0.5 0.5 0.2 0.2 0.4 0.4 0.6 0.6"),
        ("kpt_shape: [2, 3]\n", "0 0.5 0.5 0.2 0.2 0.4 0.4 1 0.6 0.6 0"),
        ("", "0 0.5 0.5 0.2 0.2 0.4 0.4 2 0.6 0.6 0"),
    ],
)
def test_the_box_of_a_pose_stays(one, yaml, line):
    read = one(line, f"train: images\nnames: [a]\n{yaml}")
    assert read.objects[0].polygons == ()
    assert read.objects[0].box == pytest.approx((16, 12, 24, 18))
    assert list(read.said) == ["points of a pose are left out, its box stays"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_byte_order_marks(one, end, mark):
    lines = f"{mark}0 0.5 0.5 0.2 0.2{end}1\t0.5 0.5  0.2 0.2{end}"
    read = one(lines.encode(), f"{mark}names: [a, b]{end}train: images{end}".encode())
    assert [found.label for found in read.objects] == ["a", "b"] and not read.losses


def test_a_picture_is_measured_as_it_is_shown(one):
    read = one("0 0.5 0.25 0.5 0.5", orientation=6)
    picture = read.pictures["images/p.jpg"]
    assert (picture.width, picture.height) == (30, 40)
    assert picture.objects[0].box == pytest.approx((7.5, 0, 22.5, 20))


LAYOUTS = {
    "ultralytics": (YAML, "images/{split}/{name}.jpg", "labels/{split}/{name}.txt"),
    "roboflow": (
        "train: ../train/images\nval: ../valid/images\nnc: 2\nnames: ['a', 'b c']\n",
        "{split}/images/{name}.jpg",
        "{split}/labels/{name}.txt",
    ),
    "beside": (
        "train: train\nval: val\nnames: [a, b c]\n",
        "{split}/{name}.jpg",
        "{split}/{name}.txt",
    ),
    "path": (
        "path: /home/somebody/set\n" + YAML,
        "images/{split}/{name}.jpg",
        "labels/{split}/{name}.txt",
    ),
    "windows": (
        "train: C:\\data\\set\\images\\train\nval: images\\val\nnames: [a, b c]\n",
        "images/{split}/{name}.jpg",
        "labels/{split}/{name}.txt",
    ),
    "lists of folders": (
        "train: [images/train, images/more]\nval: [images/val]\nnames: [a, b c]\n",
        "images/{split}/{name}.jpg",
        "labels/{split}/{name}.txt",
    ),
    "no yaml": (None, "images/{split}/{name}.jpg", "labels/{split}/{name}.txt"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tree, layout):
    yaml, image, label = LAYOUTS[layout]
    valid = "valid" if layout == "roboflow" else "val"
    for split in ("train", valid):
        for name in ("x 1", "ü"):
            tree.picture(image.format(split=split, name=name))
            tree.text(label.format(split=split, name=name), "1 0.5 0.5 0.2 0.2\n")
    if yaml:
        tree.text("data.yaml", yaml)
    if layout == "lists of folders":
        tree.picture("images/more/m.JPG")
        tree.text("labels/more/m.txt", "")
    read = tree.read(classes=None if yaml else ["a", "b c"])
    assert read.format == "yolo" and read.classes == ("a", "b c")
    expected = {image.format(split="train", name=name): "train" for name in ("x 1", "ü")}
    expected |= {image.format(split=valid, name=name): "val" for name in ("x 1", "ü")}
    expected |= {"images/more/m.JPG": "train"} if layout == "lists of folders" else {}
    assert read.splits() == expected
    assert [found.label for found in read.objects] == ["b c"] * 4 and read.losses == []


def test_darknet(tree):
    for name in ("a", "b", "c"):
        tree.picture(f"obj_train_data/{name}.JPG")
        tree.text(f"obj_train_data/{name}.txt", "0 0.5 0.5 0.2 0.2\n")
    tree.text(
        "obj.data",
        "classes = 1\ntrain = data/train.txt\nvalid = data/valid.txt\n"
        "names = data/obj.names\nbackup = backup/\n",
    )
    tree.text("obj.names", "thing\n\n")
    tree.text(
        "train.txt", "data/obj_train_data/a.jpg\n/home/x/obj_train_data/b.jpg\ndata/gone.jpg\n"
    )
    tree.text("valid.txt", "C:\\x\\obj_train_data\\c.jpg\n")
    read = tree.read()
    assert read.splits() == {
        "obj_train_data/a.JPG": "train",
        "obj_train_data/b.JPG": "train",
        "obj_train_data/c.JPG": "val",
    }
    assert read.classes == ("thing",)
    assert [(loss.what, loss.place, loss.error) for loss in read.losses] == [
        ("lines of a list: its picture is not in the folder", "train.txt, line 3", True)
    ]


def test_a_given_yaml_may_name_another_folder(tree):
    tree.picture("data/images/train/a.jpg")
    tree.text("data/labels/train/a.txt", "0 0.5 0.5 0.2 0.2\n")
    tree.text("configs/coco8.yaml", "path: ../data\ntrain: images/train\nnames: [thing]\n")
    read = tree.read("configs/coco8.yaml")
    assert list(read.splits().values()) == ["train"] and len(read.objects) == 1


def test_a_folder_cannot_name_another_one(tree, tmp_path):
    tree.picture("../elsewhere/images/a.jpg")
    tree.picture("images/b.jpg")
    tree.text("labels/b.txt", "0 0.5 0.5 0.2 0.2\n")
    tree.text(
        "data.yaml", f"path: {tmp_path}/elsewhere\ntrain: ../elsewhere/images\nnames: [thing]\n"
    )
    read = tree.read()
    assert list(read.pictures) == ["images/b.jpg"]
    tree.text("data.yaml", "train: train.txt\nnames: [thing]\n")
    tree.text(
        "train.txt", f"{tmp_path}/elsewhere/images/a.jpg\n../elsewhere/images/a.jpg\nimages/b.jpg\n"
    )
    read = tree.read()
    assert list(read.pictures) == ["images/b.jpg"] and len(read.losses) == 2


def test_pictures_without_labels_and_labels_without_pictures(tree):
    tree.picture("images/a.jpg")
    tree.picture("images/b.jpg")
    tree.text("labels/b.txt", "")
    tree.text("labels/c.txt", "0 0.5 0.5 0.2 0.2\n0 0.5 0.5 0.3 0.2\n")
    tree.text("notes.txt", "not labels\n")
    tree.text("data.yaml", "train: images\nnames: [a]\n")
    read = tree.read()
    assert list(read.pictures) == ["images/a.jpg", "images/b.jpg"] and not read.objects
    assert [(loss.what, loss.place, loss.objects, loss.error) for loss in read.losses] == [
        ("pictures without labels are kept as empty", "images/a.jpg", 0, False),
        ("labels without a picture", "labels/c.txt", 2, True),
    ]


def test_ids_without_names(tree):
    tree.picture("images/a.jpg")
    tree.text("labels/a.txt", "3 0.5 0.5 0.2 0.2\n1 0.5 0.5 0.2 0.2\n")
    read = tree.read()
    assert read.classes == ("class_1", "class_3")
    assert [found.label for found in read.objects] == ["class_3", "class_1"]
    assert "give `classes`" in read.losses[0].what
    read = tree.read(classes=["p", "q", "r", "s"])
    assert [found.label for found in read.objects] == ["s", "q"] and not read.losses


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        ("names: [no, 1, 'x y']", ("no", "1", "x y")),
        ("names: {0: a, 2: c}", ("a", "c")),
        ("names: {'1': b, '0': a}", ("a", "b")),
        ("nc: 2", ("class_0", "class_1")),
        ("names: [a, a]", ("a",)),
    ],
)
def test_names_in_yaml(one, names, classes):
    assert one("0 0.5 0.5 0.2 0.2", f"train: images\n{names}\n").classes == classes


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("names: [a\ntrain: x", "cannot be read as yaml"),
        ("train: x\nnames: 3", "names is a list"),
        ("train: x\nnames: [[a]]", "not a name"),
        ("train: x\nnames: {a: b}", "id 'a'"),
        ("train: x\nnc: many", "nc is a number"),
        ("train: {x: y}\nnames: [[a]]", "not a name"),
    ],
)
def test_a_yaml_that_is_wrong_is_refused_in_one_line(one, yaml, said):
    with pytest.raises(ValueError, match=said) as refused:
        one("", yaml)
    assert "data.yaml" in str(refused.value) and "\n" not in str(refused.value)


def test_a_yaml_is_data_and_runs_nothing(one, tmp_path):
    attack = f"!!python/object/apply:os.mkdir ['{tmp_path}/made']"
    one("", f"train: images\nnames: {attack}\n")
    assert not (tmp_path / "made").exists()


def test_several_yaml_files_are_named(tree):
    tree.picture("images/a.jpg")
    for name in ("cats.yaml", "dogs.yaml"):
        tree.text(name, "train: images\nnames: [a]\n")
    with pytest.raises(ValueError, match=r"give one of cats\.yaml, dogs\.yaml"):
        open_source(tree.root)


def test_a_picture_of_two_splits_is_kept_in_the_first(tree):
    tree.picture("images/a.jpg")
    tree.text("labels/a.txt", "0 0.5 0.5 0.2 0.2\n")
    tree.text("data.yaml", "train: images\nval: images\nnames: [a]\n")
    read = tree.read()
    assert read.splits() == {"images/a.jpg": "train"}
    assert list(read.said) == ["pictures of two splits are kept in the first"]


def test_pictures_that_cannot_be_read_are_counted_with_their_objects(tree):
    tree.text("images/a.jpg", b"not a picture")
    tree.text("labels/a.txt", "0 0.5 0.5 0.2 0.2\n0 0.5 0.5 0.2 0.2\n")
    tree.text("data.yaml", "train: images\nnames: [a]\n")
    read = tree.read()
    assert not read.pictures and read.lost == 2 and read.losses[0].error
