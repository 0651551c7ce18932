"""COCO's files, alone and several as one."""

from __future__ import annotations

import numpy as np
import pytest

from convnext_dense.data.formats.detect import open_source
from convnext_dense.data.formats.grouping import encode

SQUARE = [5, 5, 15, 5, 15, 15, 5, 15]


def file(annotations, images=(("p.jpg", 40, 30),), categories=("cat", "dog")):
    return dict(
        images=[
            dict(id=n, file_name=f, width=w, height=h) for n, (f, w, h) in enumerate(images, 7)
        ],
        categories=[dict(id=n, name=name) for n, name in enumerate(categories, 3)],
        annotations=[
            dict(dict(id=n, image_id=7, category_id=3), **one) for n, one in enumerate(annotations)
        ],
    )


@pytest.fixture
def one(tree):
    def write(*annotations, orientation=1, **kwargs):
        tree.picture("train/p.jpg", orientation=orientation)
        tree.json("annotations/instances_train2017.json", file(annotations, **kwargs))
        return tree.read()

    return write


def test_boxes_polygons_masks_and_crowds_stay_whole(one):
    mask = np.zeros((30, 40), np.uint8)
    mask[3:7, 4:9] = 1
    plain = dict(size=[30, 40], counts=[100, 10, 1090])
    read = one(
        dict(bbox=[1, 2, 10, 5], segmentation=[SQUARE, [1, 1, 3, 1, 3, 3]], category_id=4),
        dict(bbox=[4, 3, 5, 4], segmentation=encode(mask), iscrowd=1),
        dict(bbox=[3, 10, 1, 10], segmentation=plain, ignore=1),
        dict(segmentation=encode(mask)),
        dict(bbox=[1, 2, 10, 5]),
    )
    first, crowd, counted, unboxed, box = read.objects
    assert first.label == "dog" and first.box == (1, 2, 11, 7)
    np.testing.assert_array_equal(first.polygons[0].ravel(), SQUARE)
    assert len(first.polygons) == 2 and first.place.endswith(
        "instances_train2017.json, annotation 0"
    )
    assert crowd.crowd and crowd.rle == encode(mask) and not crowd.polygons
    assert counted.rle == plain and counted.ignored
    assert unboxed.box == (4, 3, 9, 7) and box.polygons == () and box.rle is None
    assert read.losses == [] and list(read.splits().values()) == ["train"]


@pytest.mark.parametrize(
    ("wrong", "said", "lost"),
    [
        (dict(bbox=[1, 2, 3]), "none of COCO's", 1),
        (dict(bbox="box"), "none of COCO's", 1),
        (dict(), "none of COCO's", 1),
        (dict(bbox=[1, 2, None, 4]), "none of COCO's", 1),
        (dict(bbox=[1, 2, float("nan"), 4]), "no numbers", 1),
        (dict(bbox=[1, 2, 0, 4]), "no area", 1),
        (dict(bbox=[1, 2, -4, 4]), "no area", 1),
        (dict(bbox=[90, 2, 4, 4]), "outside", 1),
        (dict(bbox=[5, 5, 10, 10], segmentation=[[1, 2, 3]]), "none of COCO's", 1),
        (dict(bbox=[5, 5, 10, 10], segmentation=[SQUARE[:-1]]), "none of COCO's", 1),
        (dict(bbox=[5, 5, 10, 10], segmentation=[[5, 5, 9, 9, 7, 7]]), "no area", 1),
        (dict(bbox=[5, 5, 10, 10], segmentation=[["a"] * 6]), "none of COCO's", 1),
        (dict(bbox=[5, 5, 10, 10], segmentation=3), "none of COCO's", 1),
        (dict(bbox=[5, 5, 9, 9], segmentation=dict(size=[9, 9], counts=[81])), "another size", 1),
        (dict(bbox=[5, 5, 9, 9], segmentation=dict(size=[30, 40], counts=[81])), "do not sum", 1),
        (dict(bbox=[5, 5, 9, 9], segmentation=dict(size=[30, 40], counts="xx")), "decoded", 1),
        (dict(bbox=[5, 5, 9, 9], segmentation=dict(size=[30, 40])), "size and counts", 1),
        (dict(bbox=[5, 5, 10, 10], category_id=99), "unknown category", 1),
        (dict(bbox=[5, 5, 10, 10], image_id=99), "unknown image", 1),
        (dict(bbox=[1, 2, 10, 5]), "twice", 1),
        (dict(bbox=[0, 0, 0, 0], segmentation=[SQUARE]), "that of the outline", 0),
        (dict(bbox=[5, 5, 9, 9], segmentation=[SQUARE, [1, 1, 5, 5, 9, 9]]), "parts of", 0),
        (dict(bbox=[5, 5, 10, 10], segmentation=[[5, 5, 15, 15]]), "two corners", 0),
        (dict(bbox=[5, 5, 10, 10], keypoints=[1, 2, 2]), "keypoints", 0),
    ],
)
def test_each_fault_is_counted(one, wrong, said, lost):
    read = one(dict(bbox=[1, 2, 10, 5]), wrong)
    assert len(read.objects) == 2 - lost and read.lost == lost
    assert said in read.losses[0].what and read.losses[0].place.endswith("annotation 1")


def test_several_files_are_one_with_new_ids(tree):
    for name in ("train/a.jpg", "val/a.jpg", "val/b.jpg"):
        tree.picture(name)
    tree.json(
        "annotations/instances_train.json", file([dict(bbox=[1, 2, 10, 5])], [("a.jpg", 40, 30)])
    )
    tree.json(
        "annotations/instances_val.json",
        file([dict(bbox=[1, 2, 9, 5])], [("a.jpg", 40, 30), ("b.jpg", 40, 30)], ["dog", "bird"]),
    )
    tree.json("annotations/captions_val.json", file([dict(caption="a dog")]))
    tree.json("annotations/person_keypoints_val.json", file([dict(bbox=[1, 2, 9, 5])]))
    read = tree.read()
    assert read.splits() == {"train/a.jpg": "train", "val/a.jpg": "val", "val/b.jpg": "val"}
    assert read.classes == ("cat", "dog", "bird") and read.losses == []
    assert [(one.label, one.box[2]) for one in read.objects] == [("cat", 11), ("dog", 10)]


def test_a_picture_of_two_files_has_the_objects_of_both_once(tree):
    tree.picture("p.jpg")
    tree.json("a.json", file([dict(bbox=[1, 2, 10, 5])]))
    tree.json("b.json", file([dict(bbox=[1, 2, 10, 5]), dict(bbox=[1, 2, 9, 5])]))
    read = tree.read()
    assert len(read.objects) == 2 and dict(read.said) == {"annotations that are there twice": 1}


def test_roboflow_and_files_that_are_given(tree):
    for split in ("train", "valid"):
        tree.picture(f"{split}/{split}.jpg")
        content = file([dict(bbox=[1, 2, 10, 5])], [(f"{split}.jpg", 40, 30)])
        tree.json(f"{split}/_annotations.coco.json", content)
    assert list(tree.read().splits().values()) == ["train", "val"]
    assert list(tree.read("valid/_annotations.coco.json").pictures) == ["valid.jpg"]


def test_pictures_that_lie_elsewhere_are_given(tree):
    tree.picture("pictures/sub/p.jpg")
    path = tree.json(
        "labels/all.json", file([dict(bbox=[1, 2, 10, 5])], [("C:\\x\\sub\\p.jpg", 40, 30)])
    )
    for at in (path, path.parent):
        read = tree.read(at, images=tree.root / "pictures")
        assert list(read.pictures) == ["sub/p.jpg"] and len(read.objects) == 1


def test_pictures_that_are_missing_or_not_listed(tree):
    tree.picture("x/q.jpg")
    tree.json("a.json", file([dict(bbox=[1, 2, 10, 5]), dict(bbox=[1, 2, 9, 5])]))
    read = tree.read()
    assert [(loss.what, loss.objects, loss.error) for loss in read.losses] == [
        ("labels without a picture: its picture is not in the folder", 2, True),
        ("pictures that no file lists are left out", 0, False),
    ]


def test_labels_of_the_unturned_picture_are_turned(one):
    mask = np.zeros((30, 40), np.uint8)
    mask[0, :3] = 1
    read = one(
        dict(bbox=[5, 5, 10, 10], segmentation=[SQUARE]),
        dict(bbox=[0, 0, 3, 1], segmentation=encode(mask)),
        orientation=6,
    )
    outline, run = read.objects
    np.testing.assert_array_equal(outline.polygons[0], [(25, 5), (25, 15), (15, 15), (15, 5)])
    assert run.rle == encode(np.rot90(mask, -1)) and run.box == (29, 0, 30, 3)


@pytest.mark.parametrize("content", ['{"images": [], "categories": 3}', '{"images": [', "[]"])
def test_no_coco_is_refused_in_one_line(tree, content):
    path = tree.text("a.json", content)
    with pytest.raises(ValueError, match=r"COCO's format|is not JSON") as refused:
        list(open_source(path, "coco").pictures())
    assert str(path) in str(refused.value) and "\n" not in str(refused.value)


def test_records_that_are_none(tree):
    tree.picture("p.jpg")
    content = file([dict(bbox=[1, 2, 10, 5])])
    content["images"] += [None, dict(id=8), dict(id=9, file_name=3)]
    content["annotations"] += [None, 3]
    content["categories"] += [None, dict(name="x")]
    tree.json("a.json", content)
    read = tree.read()
    assert len(read.objects) == 1 and len(read.losses) == 5
