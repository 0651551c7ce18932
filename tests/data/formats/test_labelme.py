"""LabelMe's shapes, pictures and mistakes."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from convnext_dense.data.formats.detect import open_source
from convnext_dense.data.formats.grouping import decode


def shape(kind, points, label="cat", **more):
    return dict(label=label, points=points, shape_type=kind, group_id=None, flags={}, **more)


def content(*shapes, **more):
    own = dict(version="5.4.1", flags={}, shapes=list(shapes), imagePath="p.jpg", imageData=None)
    return own | dict(imageHeight=30, imageWidth=40) | more


def png(mask):
    file = io.BytesIO()
    Image.fromarray(np.asarray(mask, np.uint8) * 255).convert("1").save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


@pytest.fixture
def one(tree):
    def write(*shapes, orientation=1, **more):
        tree.picture("p.jpg", orientation=orientation)
        tree.json("p.json", content(*shapes, **more))
        return tree.read()

    return write


def test_polygons_rectangles_and_circles(one):
    read = one(
        shape("polygon", [[1, 2], [11.5, 2], [6, 9]]),
        shape("rectangle", [[20, 20], [10, 5]]),
        shape("rectangle", [[10, 5], [20, 5], [20, 20], [10, 20]]),
        shape("oriented_rectangle", [[10, 5], [15, 10], [10, 15], [5, 10]]),
        shape("circle", [[20, 15], [23, 19]]),
    )
    polygon, rectangle, corners, oriented, circle = read.objects
    np.testing.assert_array_equal(polygon.polygons[0], [(1, 2), (11.5, 2), (6, 9)])
    assert rectangle.box == corners.box == (10, 5, 20, 20) and rectangle.polygons == ()
    assert oriented.box == (5, 5, 15, 15) and len(oriented.polygons[0]) == 4
    distances = np.hypot(*(circle.polygons[0] - (20, 15)).T)
    np.testing.assert_allclose(distances, 5)
    assert dict(read.said) == {"circles became polygons": 1}
    assert polygon.place == "p.json, shape 1"


def test_an_old_file_has_no_types(one):
    old = dict(label="cat", points=[[1, 2], [11, 2], [6, 9]], line_color=None)
    assert len(one(old).objects[0].polygons[0]) == 3


@pytest.mark.parametrize("stored", ["1", "L"])
def test_masks(one, stored):
    mask = np.array([[1, 0, 1], [1, 1, 0]])
    (found,) = one(shape("mask", [[10, 5], [12, 6]], mask=png(mask))).objects
    expected = np.zeros((30, 40), bool)
    expected[5:7, 10:13] = mask
    np.testing.assert_array_equal(decode(found.rle), expected)
    assert found.box == (10, 5, 13, 7) and found.polygons == ()


def test_a_group_is_one_object_of_its_class(one):
    read = one(
        shape("polygon", [[1, 1], [5, 1], [5, 5]]) | dict(group_id=3),
        shape("polygon", [[21, 1], [25, 1], [25, 5]]) | dict(group_id=3),
        shape("polygon", [[21, 1], [25, 1], [25, 5]], "dog") | dict(group_id=3),
        shape("polygon", [[21, 1], [25, 1], [25, 5]]),
        shape("rectangle", [[30, 10], [35, 15]]) | dict(group_id=0),
        shape("mask", [[10, 20], [11, 20]], mask=png([[1, 1]])) | dict(group_id=0),
    )
    assert [one.label for one in read.objects] == ["cat", "dog", "cat", "cat"]
    assert read.objects[0].box == (1, 1, 25, 5) and len(read.objects[0].polygons) == 2
    assert decode(read.objects[3].rle).sum() == 2 + 25


@pytest.mark.parametrize(
    ("wrong", "said", "error"),
    [
        (shape("line", [[1, 1], [5, 5]]), "type line, which have no area", False),
        (shape("linestrip", [[1, 1], [5, 5], [6, 6]]), "linestrip", False),
        (shape("point", [[1, 1]]), "type point,", False),
        (shape("points", [[1, 1]]), "type points,", False),
        (shape("spline", [[1, 1]]), "LabelMe does not have", True),
        (shape("polygon", [[1, 1], [5, 5]]), "fewer than 3", True),
        (shape("polygon", []), "fewer than 3", True),
        (shape("polygon", [[1, 1], [5]]), "other points", True),
        (shape("polygon", [[1, 1], [5, None], [2, 3]]), "other points|no numbers", True),
        (shape("polygon", [[1, 1], [5, float("nan")], [2, 3]]), "no numbers", True),
        (shape("polygon", [[1, 1], [5, 5], [9, 9]]), "no area", True),
        (shape("polygon", "abc"), "other points", True),
        (shape("rectangle", [[1, 1]]), "two corners", True),
        (shape("rectangle", [[1, 1], [1, 9]]), "no area", True),
        (shape("circle", [[1, 1]]), "other points", True),
        (shape("circle", [[9, 9], [9, 9]]), "no area", True),
        (shape("mask", [[1, 1], [2, 2]]), "without their pixels", True),
        (shape("mask", [[1, 1], [2, 2]], mask="%%%"), "not pictures", True),
        (shape("mask", [[1, 1], [2, 2]], mask=png([[0, 0]])), "without a pixel", True),
        (shape("mask", [[100, 1], [101, 2]], mask=png([[1, 1]])), "without a pixel", True),
        (shape("polygon", [[50, 1], [59, 5], [55, 9]]), "outside", True),
        (shape("polygon", [[1, 2], [11, 2], [6, 9]], label=""), "without a label", True),
        (shape("polygon", [[1, 2], [11, 2], [6, 9]], label=7), "without a label", True),
        ("a shape", "without a label", True),
    ],
)
def test_each_fault_is_counted(one, wrong, said, error):
    read = one(shape("rectangle", [[1, 1], [5, 5]]), wrong)
    assert len(read.objects) == 1 and read.lost == 1
    loss = read.losses[-1]
    assert any(words in loss.what for words in said.split("|"))
    assert loss.place == "p.json, shape 2" and loss.error is error


@pytest.mark.parametrize(
    "written",
    [
        "p.jpg",
        "../images/p.jpg",
        "C:\\Users\\me\\images\\p.jpg",
        "/home/me/images/p.JPG",
        "..\\..\\p.jpg",
        "gone.jpg",
        "",
        None,
    ],
)
@pytest.mark.parametrize("place", ["json/p.json", "images/p.json"])
def test_where_the_picture_is(tree, written, place):
    tree.picture("images/p.jpg")
    tree.picture("other/x.jpg")
    tree.json(place, content(shape("rectangle", [[1, 1], [5, 5]]), imagePath=written))
    assert len(tree.read().pictures["images/p.jpg"].objects) == 1


def test_nothing_outside_of_the_folder_is_read(tree, tmp_path):
    tree.picture("../secret.jpg")
    for name, path in dict(
        a=f"{tmp_path}/secret.jpg", b="../secret.jpg", c="..\\secret.jpg"
    ).items():
        tree.json(f"{name}.json", content(shape("rectangle", [[1, 1], [5, 5]]), imagePath=path))
    read = tree.read()
    assert not read.pictures and read.lost == 3
    assert read.said == {"labels without a picture: its picture is not in the folder": 3}


def embedded(size=(40, 30), format="JPEG"):
    file = io.BytesIO()
    Image.new("RGB", size).save(file, format)
    return file.getvalue()


@pytest.mark.parametrize(
    ("written", "format", "name"),
    [
        ("p.jpg", "JPEG", "sub/p.jpg"),
        ("..\\x\\q r.JPEG", "JPEG", "sub/q r.JPEG"),
        ("p.tif", "PNG", "sub/own.png"),
        (None, "JPEG", "sub/own.jpg"),
        ("../../../etc/passwd", "PNG", "sub/own.png"),
    ],
)
def test_an_embedded_picture(tree, written, format, name):
    data = embedded(format=format)
    text = base64.b64encode(data).decode()
    shapes = shape("rectangle", [[1, 1], [5, 5]])
    tree.json("sub/own.json", content(shapes, imagePath=written, imageData=text))
    read = tree.read()
    picture = read.pictures[name]
    assert picture.content() == data and picture.path == tree.root / "sub/own.json"
    assert (picture.width, picture.height, len(picture.objects)) == (40, 30, 1)
    assert list(read.said) == ["the picture was taken out of its label file"]


@pytest.mark.parametrize("data", ["", "abc", base64.b64encode(b"no picture").decode()])
def test_no_picture_at_all(tree, data):
    tree.json("a.json", content(shape("rectangle", [[1, 1], [5, 5]]), imageData=data))
    read = tree.read()
    assert not read.pictures and read.lost == 1 and read.losses[0].error


def test_sizes_and_turned_pictures(one):
    rectangle = shape("rectangle", [[0, 0], [10, 5]])
    mask = shape("mask", [[0, 0], [1, 0]], mask=png([[1, 1]]))
    assert one(rectangle, imageHeight=None, imageWidth=None).losses == []
    assert "another size" in one(rectangle, imageHeight=31).losses[0].what
    read = one(rectangle, mask, orientation=8)
    assert [found.box for found in read.objects] == [(0, 30, 5, 40), (0, 38, 1, 40)]
    assert decode(read.objects[1].rle)[38:, 0].all() and read.objects[1].rle["size"] == [40, 30]
    shown = one(rectangle, mask, orientation=8, imageHeight=40, imageWidth=30)
    assert [found.box for found in shown.objects] == [(0, 0, 10, 5), (0, 0, 2, 1)]
    assert shown.losses == []


def test_files_that_are_wrong_and_pictures_without_a_file(tree):
    tree.picture("train/p.jpg")
    tree.picture("train/q.jpg")
    tree.json("train/p.json", content(shape("rectangle", [[1, 1], [5, 5]])))
    tree.text("train/cut.json", '{"version": "5", "shapes": [')
    tree.json("train/other.json", {"info": 3})
    tree.json("train/copy.json", content(shape("rectangle", [[1, 1], [5, 5]])))
    read = tree.read()
    assert read.splits() == {"train/p.jpg": "train", "train/q.jpg": "train"}
    assert sorted((loss.what, loss.objects) for loss in read.losses) == [
        ("label files that cannot be read", 0),
        ("pictures that are labelled twice: the first is kept", 1),
        ("pictures without labels are kept as empty", 0),
    ]


def test_a_byte_order_mark(tree):
    path = tree.json("p.json", content(shape("rectangle", [[1, 1], [5, 5]], label="Käfer")))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    tree.picture("p.jpg")
    assert tree.read().classes == ("Käfer",)
    assert open_source(path).classes == ("Käfer",)
