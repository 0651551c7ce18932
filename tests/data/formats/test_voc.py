"""Pascal VOC's files and mistakes."""

from __future__ import annotations

import numpy as np
import pytest

from convnext_dense.data.formats.detect import open_source
from convnext_dense.data.formats.grouping import decode
from convnext_dense.data.formats.voc_maps import VOC_CLASSES


def box(*edges, name="cat", more=""):
    tags = zip(("xmin", "ymin", "xmax", "ymax"), edges, strict=False)
    inside = "".join(f"<{tag}>{value}</{tag}>" for tag, value in tags)
    return f"<object><name>{name}</name>{more}<bndbox>{inside}</bndbox></object>"


def xml(*objects, filename="p.jpg", size=(40, 30), head=""):
    width, height = size
    stated = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    names = f"<folder>x</folder><filename>{filename}</filename><path>C:\\x\\{filename}</path>"
    return f"{head}<annotation>{names}{stated}{''.join(objects)}</annotation>"


@pytest.fixture
def one(tree):
    def write(*objects, orientation=1, **kwargs):
        tree.picture("JPEGImages/p.jpg", orientation=orientation)
        tree.text("Annotations/p.xml", xml(*objects, **kwargs))
        return tree.read()

    return write


def test_pixels_from_1_become_edges(one):
    read = one(box(1, 1, 1, 1), box(11, 2, 40, 30), box(0, 0, 20, 20), box(1.5, 2, 9.5, 8))
    assert [found.box for found in read.objects] == [
        (0, 0, 1, 1),
        (10, 1, 40, 30),
        (0, 0, 20, 20),
        (0.5, 1, 9.5, 8),
    ]
    assert read.losses == [] and read.objects[1].place == "Annotations/p.xml, object 2"


def test_difficult_is_ignored_and_marks_are_counted(one):
    marks = "<pose>Left</pose><truncated>1</truncated><difficult>1</difficult>"
    read = one(box(5, 5, 9, 9, more=marks), box(5, 5, 9, 9, more="<difficult>0</difficult>"))
    assert [found.ignored for found in read.objects] == [True, False]
    assert list(read.said) == ["pose, truncated and occluded are left out"]


@pytest.mark.parametrize(
    ("labelled", "said", "lost"),
    [
        (box(9, 9, 5, 12), "max below min", 0),
        (box(5, 5, 9), "four numbers", 1),
        (box("five", 5, 9, 9), "four numbers", 1),
        (box("nan", 5, 9, 9), "no numbers of a picture", 1),
        (box(5, 5, "inf", 9), "no numbers of a picture", 1),
        (box(1e9, 5, 2e9, 9), "no numbers of a picture", 1),
        ("<object><name>cat</name></object>", "four numbers", 1),
        (box(5, 5, 9, 9, name=" "), "without a name", 1),
        (box(50, 5, 60, 9), "outside", 1),
        (box(35, 5, 60, 9), "cut off", 0),
        (box(5, 5, 5.0, 4.0), "max below min", 0),
        (box(5, 5, 9, 9, more="<part><name>head</name></part>"), "parts", 0),
    ],
)
def test_each_fault_is_counted(one, labelled, said, lost):
    read = one(box(5, 5, 9, 9), labelled)
    assert len(read.objects) == 2 - lost and read.lost == lost
    assert said in read.losses[0].what and read.losses[0].place == "Annotations/p.xml, object 2"


def test_exchanged_corners_are_the_same_box(one):
    assert one(box(9, 12, 5, 3)).objects[0].box == (4, 2, 9, 12)


def test_layouts_splits_and_names(tree):
    """A kit of two years: equal names, suffixes in capitals, other names in the files."""
    for year in ("VOC2007", "VOC2012"):
        for name in ("a", "b", "c d"):
            suffix = "JPG" if name == "b" else "jpg"
            tree.picture(f"kit/{year}/JPEGImages/{name}.{suffix}")
            text = xml(box(5, 5, 9, 9, name=f"{name}{year}"), filename="wrong.jpg")
            tree.text(f"kit/{year}/Annotations/{name}.xml", text)
        tree.text(f"kit/{year}/ImageSets/Main/train.txt", "a\n")
        tree.text(f"kit/{year}/ImageSets/Main/val.txt", "b\r\n")
        tree.text(f"kit/{year}/ImageSets/Main/trainval.txt", "a\nb\n")
        tree.text(f"kit/{year}/ImageSets/Main/cat_train.txt", "a  1\nb -1\n")
    read = tree.read()
    assert read.format == "voc" and len(read.classes) == 6 and read.losses == []
    for name, picture in read.pictures.items():
        year, stem = name.split("/")[1], picture.path.stem
        assert [one.label for one in picture.objects] == [f"{stem}{year}"]
        assert picture.split == {"a": "train", "b": "val"}.get(stem)


def test_files_beside_their_pictures(tree):
    for split in ("train", "valid"):
        tree.picture(f"{split}/p.jpg")
        tree.text(f"{split}/p.xml", xml(box(5, 5, 9, 9)))
    assert tree.read().splits() == {"train/p.jpg": "train", "valid/p.jpg": "val"}


def test_a_picture_by_the_name_that_the_file_states(tree):
    tree.picture("p q.jpg")
    tree.text("0001.xml", xml(box(5, 5, 9, 9), filename="p q.JPG"))
    assert list(tree.read().pictures) == ["p q.jpg"]


def test_encodings(tree):
    text = xml(box(5, 5, 9, 9, name="Käfer"))
    declared = "<?xml version='1.0' encoding='{}'?>".format
    contents = {
        "utf8": text.encode(),
        "mark": b"\xef\xbb\xbf" + text.encode(),
        "latin": (declared("ISO-8859-1") + text).encode("latin-1"),
        "undeclared": text.encode("latin-1"),
        "utf16": (declared("utf-16") + text).encode("utf-16"),
        "crlf": text.replace(">", ">\r\n").encode(),
    }
    for name, content in contents.items():
        tree.picture(f"{name}.jpg")
        tree.text(f"{name}.xml", content)
    read = tree.read()
    assert len(read.objects) == len(contents) and read.classes == ("Käfer",)


def test_entities_are_refused_and_the_rest_is_read(tree):
    bomb = '<!DOCTYPE a [<!ENTITY b "x"><!ENTITY c "&b;&b;">]>'
    tree.picture("JPEGImages/p.jpg")
    tree.picture("JPEGImages/q.jpg")
    tree.text("Annotations/p.xml", xml(box(5, 5, 9, 9, name="&c;"), head=bomb))
    tree.text("Annotations/q.xml", xml(box(5, 5, 9, 9)))
    read = tree.read()
    assert len(read.objects) == 1
    assert "entities" in read.losses[0].place and read.losses[0].error


def test_broken_empty_and_foreign_files(tree):
    tree.picture("p.jpg")
    tree.picture("r.jpg")
    tree.text("p.xml", xml(box(5, 5, 9, 9)))
    tree.text("q.xml", xml(box(5, 5, 9, 9), filename="q.jpg"))
    tree.text("r.xml", xml(box(5, 5, 9, 9))[:-20])
    tree.text("empty.xml", "")
    tree.text("other.xml", "<project/>")
    read = tree.read()
    assert len(read.objects) == 1 and list(read.pictures) == ["p.jpg", "r.jpg"]
    assert {(loss.what, loss.objects) for loss in read.losses} == {
        ("labels without a picture: its picture is not in the folder", 1),
        ("label files that cannot be read", 0),
        ("pictures without labels are kept as empty", 0),
    }


def test_stated_sizes(one):
    assert one(box(5, 5, 9, 9), size=(0, 0)).losses == []
    assert one(box(5, 5, 9, 9), size=("", "x")).losses == []
    (loss,) = one(box(5, 5, 9, 9), size=(80, 60)).losses
    assert loss.place == "JPEGImages/p.jpg: 40 x 30, stated 80 x 60" and loss.error


def test_labels_of_the_unturned_picture_are_turned(one):
    read = one(box(1, 1, 10, 5), orientation=6)
    picture = read.pictures["JPEGImages/p.jpg"]
    assert (picture.width, picture.height) == (30, 40)
    assert picture.objects[0].box == (25, 0, 30, 10)
    assert list(read.said) == ["labels of the unturned picture were turned as its EXIF says"]
    turned = one(box(1, 1, 10, 5), orientation=6, size=(30, 40))
    assert turned.objects[0].box == (0, 0, 10, 5) and turned.losses == []


def test_objects_of_classes_that_are_not_among_the_given_ones(tree):
    tree.picture("p.jpg")
    tree.text("p.xml", xml(box(5, 5, 9, 9), box(5, 5, 9, 9, name="dog")))
    read = tree.read(classes=["dog"])
    assert [one.label for one in read.objects] == ["dog"] and read.lost == 1


def test_polygons_and_rotated_boxes_of_other_tools(one):
    corners = "".join(
        f"<x{n}>{x}</x{n}><y{n}>{y}</y{n}>" for n, (x, y) in enumerate([(3, 3), (9, 3), (9, 8)], 1)
    )
    square = "<cx>20</cx><cy>15</cy><w>10</w><h>4</h><angle>1.5707963</angle>"
    rotated = f"<object><name>cat</name><robndbox>{square}</robndbox></object>"
    polygon, turned = one(box(3, 3, 9, 8, more=f"<polygon>{corners}</polygon>"), rotated).objects
    np.testing.assert_allclose(polygon.polygons[0], [(2, 2), (8, 2), (8, 7)])
    assert polygon.box == (2, 2, 9, 8)
    assert turned.box == pytest.approx((18, 10, 22, 20), abs=1e-4)


def test_label_maps_of_the_devkit(tree):
    tree.picture("JPEGImages/p.jpg", (4, 2))
    tree.picture("JPEGImages/q.jpg", (4, 2))
    tree.label_map("SegmentationClass/p.png", [[0, 1, 20, 255]] * 2)
    tree.label_map("SegmentationObject/p.png", [[0, 0, 0, 255]] * 2)
    tree.text("Annotations/p.xml", xml(box(1, 1, 2, 2, name="person"), size=(4, 2)))
    tree.text("Annotations/q.xml", xml(box(1, 1, 2, 2, name="cow"), size=(4, 2)))
    tree.text("ImageSets/Segmentation/val.txt", "p\n")
    read = tree.read()
    maps = {name: picture.label_map for name, picture in read.pictures.items()}
    assert maps == {
        "JPEGImages/p.jpg": tree.root / "SegmentationClass/p.png",
        "JPEGImages/q.jpg": None,
    }
    assert read.splits()["JPEGImages/p.jpg"] == "val" and read.losses == []
    pixels = open_source(tree.root).pixels
    assert pixels == dict(enumerate(("background", *VOC_CLASSES)))
    assert read.classes == ("cow", "person")


def test_masks_of_instances_have_the_numbers_of_their_objects(tree):
    values = np.zeros((30, 40), np.uint8)
    values[2:9, 3:12], values[12:20, 20:30], values[10, :] = 1, 2, 255
    values[25:, 30:] = 3
    tree.picture("JPEGImages/p.jpg")
    tree.label_map("SegmentationObject/p.png", values)
    objects = box(4, 3, 12, 9), box(21, 13, 30, 20), box(1, 1, 5, 5), box(1, 1, 5, 5)
    tree.text("Annotations/p.xml", xml(*objects))
    read = tree.read()
    first, second, wrong, without = read.objects
    np.testing.assert_array_equal(decode(first.rle), values == 1)
    np.testing.assert_array_equal(decode(second.rle), values == 2)
    assert first.box == (3, 2, 12, 9) and wrong.rle is None and without.rle is None
    assert read.said == {"masks of instances that do not fit their boxes": 1}


@pytest.mark.parametrize("folder", ["SegmentationClass", "SegmentationClassPNG"])
def test_label_maps_of_labelme2voc(tree, folder):
    tree.picture("JPEGImages/p.jpg", (4, 2))
    tree.label_map(f"{folder}/p.png", [[0, 1, 2, 255]] * 2)
    tree.picture("SegmentationClassVisualization/p.jpg", (4, 2))
    tree.text("class_names.txt", "__ignore__\n_background_\nbolt\nnut\n")
    read = tree.read()
    source = open_source(tree.root)
    assert list(read.pictures) == ["JPEGImages/p.jpg"] and read.losses == []
    assert source.pixels == {0: "_background_", 1: "bolt", 2: "nut"}


def test_label_maps_of_cvat(tree):
    tree.picture("JPEGImages/p.jpg", (4, 2))
    tree.picture("SegmentationClass/p.png", (4, 2))
    tree.text(
        "labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\nbolt:250,50,83::\n"
    )
    assert tree.read().losses == []
    assert open_source(tree.root).pixels == {(0, 0, 0): "background", (250, 50, 83): "bolt"}
    tree.label_map("SegmentationClass/p.png", [[0, 1, 1, 0]] * 2)
    assert open_source(tree.root).pixels == {0: "background", 1: "bolt"}


def test_maps_whose_classes_are_not_known(tree):
    tree.picture("JPEGImages/p.jpg", (4, 2))
    tree.label_map("SegmentationClass/p.png", [[0, 1, 1, 0]] * 2)
    tree.text("Annotations/p.xml", xml(box(1, 1, 2, 2, name="gear"), size=(4, 2)))
    assert open_source(tree.root).pixels == {}
    assert "label maps whose classes are not known: give `classes`" in tree.read().said
    given = open_source(tree.root, classes=["gear", "bolt"])
    assert given.pixels == {1: "gear", 2: "bolt"}
