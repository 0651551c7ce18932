"""CVAT's XML for images."""

from __future__ import annotations

import numpy as np
import pytest

from convnext_dense.data.formats.detect import open_source
from convnext_dense.data.formats.grouping import decode

META = """<meta><task><id>1</id><name>t</name><labels>
<label><name>cat</name><type>any</type></label><label><name>dog</name></label>
<label><name>nose</name><parent>dog</parent></label></labels></task></meta>"""
BOX = '<box label="cat" occluded="0" xtl="1" ytl="2" xbr="11" ybr="12" z_order="0"></box>'


def image(*shapes, name="p.jpg", size=(40, 30), more=""):
    sides = f'width="{size[0]}" height="{size[1]}"'
    return f'<image id="0" name="{name}" {sides} {more}>{"".join(shapes)}</image>'


def xml(*images, meta=META):
    head = '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>'
    return f"{head}{meta}{''.join(images)}</annotations>"


@pytest.fixture
def one(tree):
    def write(*shapes, orientation=1, **kwargs):
        tree.picture("images/p.jpg", orientation=orientation)
        tree.text("annotations.xml", xml(image(*shapes, **kwargs)))
        return tree.read()

    return write


def test_boxes_and_polygons(one):
    polygon = '<polygon label="dog" points="1.50,2.00;11.00,2.00;6.00,9.25"/>'
    read = one(BOX, polygon)
    assert read.classes == ("cat", "dog") and read.format == "cvat" and read.losses == []
    box, outline = read.objects
    assert box.box == (1, 2, 11, 12) and box.polygons == () and outline.label == "dog"
    np.testing.assert_array_equal(outline.polygons[0], [(1.5, 2), (11, 2), (6, 9.25)])
    assert outline.place == "annotations.xml, image 0, shape 2"


def test_a_rotated_box_turns_clockwise(one):
    read = one('<box label="cat" xtl="10" ytl="10" xbr="20" ybr="14" rotation="90.00"/>')
    np.testing.assert_allclose(read.objects[0].polygons[0], [(17, 7), (17, 17), (13, 17), (13, 7)])
    assert dict(read.said) == {"rotated boxes became polygons": 1}


def test_an_ellipse_and_a_cuboid(one):
    corners = "".join(
        f'x{c}{n}="{x + n}" y{c}{n}="{y + n}" '
        for c, x, y in (("tl", 5, 5), ("bl", 5, 15), ("tr", 20, 5), ("br", 20, 15))
        for n in (1, 2)
    )
    read = one(
        '<ellipse label="cat" cx="20" cy="15" rx="8" ry="4" rotation="90"/>',
        f'<cuboid label="dog" {corners}/>',
    )
    ellipse, cuboid = read.objects
    assert ellipse.box == pytest.approx((16, 7, 24, 23))
    x, y = (ellipse.polygons[0] - (20, 15)).T
    np.testing.assert_allclose((x / 4) ** 2 + (y / 8) ** 2, 1)
    assert cuboid.box == (6, 6, 22, 17) and len(read.said) == 2


def test_a_mask_runs_along_its_rows(one):
    read = one('<mask label="cat" rle="1, 2, 3" left="10" top="5" width="3" height="2"/>')
    expected = np.zeros((30, 40), bool)
    expected[5, 11:13] = True
    np.testing.assert_array_equal(decode(read.objects[0].rle), expected)
    assert read.objects[0].box == (11, 5, 13, 6)


def test_a_group_is_one_object(one):
    part = '<polygon label="cat" points="{0},1;{1},1;{1},5" group_id="4"/>'.format
    read = one(part(1, 5), part(21, 25), BOX)
    assert [len(found.polygons) for found in read.objects] == [2, 0]


@pytest.mark.parametrize(
    ("wrong", "said", "lost", "error"),
    [
        ('<polyline label="cat" points="1,1;5,5"/>', "polyline, which have no area", 1, False),
        ('<points label="cat" points="1,1"/>', "points, which have no area", 1, False),
        ('<tag label="cat"></tag>', "tag, which have no area", 1, False),
        ('<skeleton label="cat"><points label="nose"/></skeleton>', "skeleton, which", 1, False),
        (BOX.replace("cat", "bird"), "not among the names", 1, True),
        ('<blob label="cat"/>', "CVAT does not have", 1, True),
        ('<box label="" xtl="1" ytl="2" xbr="11" ybr="12"/>', "without a label", 1, True),
        ('<box label="cat" xtl="1" ytl="2" xbr="11"/>', "other numbers", 1, True),
        ('<box label="cat" xtl="1" ytl="2" xbr="nan" ybr="12"/>', "no numbers", 1, True),
        ('<box label="cat" xtl="1" ytl="2" xbr="1" ybr="12"/>', "no area", 1, True),
        ('<box label="cat" xtl="91" ytl="2" xbr="99" ybr="12"/>', "outside", 1, True),
        ('<polygon label="cat" points="1,1;5,5"/>', "fewer than 3", 1, True),
        ('<polygon label="cat" points="1,1;5,5;7"/>', "other numbers", 1, True),
        (
            '<mask label="cat" rle="9" left="0" top="0" width="2" height="2"/>',
            "do not sum",
            1,
            True,
        ),
        (
            '<mask label="cat" rle="" left="0" top="0" width="2" height="2"/>',
            "other numbers",
            1,
            True,
        ),
        (
            '<mask label="cat" rle="4" left="0" top="0" width="2" height="2"/>',
            "without a pixel",
            1,
            True,
        ),
        (
            '<mask label="cat" rle="0,999999999" left="0" top="0" width="999999999" height="1"/>',
            "larger than",
            1,
            True,
        ),
        (
            BOX.replace("></box>", '><attribute name="a">b</attribute></box>'),
            "attributes",
            0,
            False,
        ),
    ],
)
def test_each_fault_is_counted(one, wrong, said, lost, error):
    read = one(BOX, wrong)
    assert len(read.objects) == 2 - lost and read.lost == lost
    (loss,) = read.losses
    assert said in loss.what and loss.error is error
    assert loss.place == "annotations.xml, image 0, shape 2"


def test_several_jobs_subsets_and_folders(tree):
    for name in ("images/Train/cam 1/a.jpg", "images/Validation/cam 1/a.jpg", "images/b.JPG"):
        tree.picture(name)
    tree.picture("images/unlisted.jpg")
    jobs = {
        "job_1.xml": image(BOX, name="cam 1/a.jpg", more='subset="Train"'),
        "job_2.xml": image(BOX, name="cam 1/a.jpg", more='subset="Validation"')
        + image(name="b.jpg", more='subset="Extra"')
        + image(BOX, BOX, name="gone.jpg"),
    }
    for name, images in jobs.items():
        tree.text(name, xml(images))
    read = tree.read()
    assert read.splits() == {
        "images/Train/cam 1/a.jpg": "train",
        "images/Validation/cam 1/a.jpg": "val",
        "images/b.JPG": None,
    }
    assert [(loss.what.split(":")[0], loss.objects) for loss in read.losses] == [
        ("subsets that are none of train, validation and test", 0),
        ("labels without a picture", 2),
        ("pictures that no file lists are left out", 0),
    ]


def test_a_file_without_its_labels_is_read_once_for_them(tree):
    tree.picture("p.jpg")
    tree.text("a.xml", xml(image(BOX.replace("cat", "fish")), meta=""))
    assert tree.read().classes == ("fish",)


def test_labels_of_the_unturned_picture_are_turned(one):
    read = one(BOX, orientation=3)
    assert read.objects[0].box == (1, 2, 11, 12)  # of equal size: the size does not tell
    read = one(
        BOX, '<mask label="cat" rle="0,2" left="0" top="0" width="2" height="1"/>', orientation=6
    )
    assert [found.box for found in read.objects] == [(18, 1, 28, 11), (29, 0, 30, 2)]
    assert read.objects[1].rle["size"] == [40, 30]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('<!DOCTYPE a [<!ENTITY b "x">]>' + xml(image(BOX), meta="")[38:], "entities"),
        (xml('<track id="0" label="cat"><box frame="0"/></track>'), "CVAT for images 1.1"),
        (xml()[:-8], "is not XML"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_one_line(tree, content, said):
    tree.picture("p.jpg")
    path = tree.text("a.xml", content)
    with pytest.raises(ValueError, match=said) as refused:
        list(open_source(tree.root).pictures())
    assert str(path) in str(refused.value) and "\n" not in str(refused.value)


def test_a_cut_off_file_keeps_what_came_before(tree):
    tree.picture("p.jpg")
    tree.text("a.xml", xml(image(BOX), image(BOX, name="q.jpg"))[:-60])
    read = tree.read()
    assert len(read.objects) == 1
    assert "label files that cannot be read to the end" in read.said
