"""The kinds of faults that users meet, each with what the tools say."""

from __future__ import annotations

import copy
import json
import unicodedata

import numpy as np
import pytest

from convnext_dense.data.audit import audit_data
from convnext_dense.data.check import check_data
from convnext_dense.data.rules import Findings, check_annotations
from convnext_dense.data.rules.boxes import compare_with_masks
from convnext_dense.data.rules.categories import check_classes, check_names, nearest


def refused(tools, spoil):
    """Spoil the annotations; return what every tool says, which is the same."""
    content = copy.deepcopy(tools.good)
    for annotation in content["annotations"]:
        spoil(annotation)
    tools.write(content)
    said = set()
    for call in tools.calls.values():
        with pytest.raises(ValueError, match="annotation") as error:
            call()
        said.add(str(error.value).replace("instances_train", "instances_val"))
    (message,) = said
    return message


@pytest.mark.slow
@pytest.mark.parametrize("corners", [[4, 4, 24, 14], [4.0, 4.5, 24, 14], [[4, 4, 24, 14], [1] * 6]])
def test_a_rectangle_of_labelme_is_refused_by_name(tools, corners):
    polygons = corners if isinstance(corners[0], list) else [corners]
    message = refused(tools, lambda a: a.update(segmentation=polygons))
    assert "annotation 1; polygons of four numbers, which labelme writes" in message
    assert "x1, y1, x2, y1, x2, y2, x1, y2 (the first of 2)" in message


@pytest.mark.slow
@pytest.mark.parametrize("value", ["0", "1", True, False, None, 2, -1, [0]])
def test_iscrowd_is_0_or_1_in_every_tool(tools, value):
    message = refused(tools, lambda a: a.update(iscrowd=value))
    assert "annotation 1: iscrowd is " in message
    assert "COCO's format wants iscrowd of annotation to be 0 or 1 (the first of 2)" in message


@pytest.mark.slow
@pytest.mark.parametrize("area", [-1, -0.5, float("nan"), float("inf"), "200", True, None])
def test_areas_are_finite_and_not_negative_in_every_tool(tools, area):
    message = refused(tools, lambda a: a.update(area=area))
    assert "annotation 1: area is " in message and "a finite number not below 0" in message


def ids_as_texts(content):
    for kind, link in (("images", "image_id"), ("categories", "category_id")):
        for record in content[kind]:
            record["id"] = f"#{record['id']}"
        for annotation in content["annotations"]:
            annotation[link] = f"#{annotation[link]}"


@pytest.mark.slow
def test_ids_that_are_texts_are_taken_by_every_tool(tools):
    content = copy.deepcopy(tools.good)
    ids_as_texts(content)
    tools.write(content)
    results = json.loads(tools.results.read_text())
    for result in results:
        result |= {key: f"#{result[key]}" for key in ("image_id", "category_id")}
    tools.results.write_text(json.dumps(results))
    assert {name: call() for name, call in tools.calls.items()} == tools.expected


def test_what_mmdet_ignores_is_said_and_not_counted(tools):
    content = copy.deepcopy(tools.good)
    content["annotations"].append(dict(content["annotations"][0], id=3, ignore=1))
    tools.write(content)
    (train,) = check_data(tools.cfg, ("train",))
    assert train.sentence.endswith(
        "annotation 3; annotations with ignore: 1, which mmdet leaves out of training: delete the "
        "field to train on them"
    )
    (test,) = check_data(tools.cfg, ("test",))
    assert "which COCO's evaluation counts as all others" in test.sentence
    rows = [checked.rows[0]["objects"] for checked in audit_data(tools.cfg, fast=True).checked]
    assert rows == [1, 2]


@pytest.mark.parametrize(("rotation", "said"), [(30, 1), (-0.5, 1), (0, 0), (360.0, 0), ("x", 0)])
def test_a_rotation_of_cvat_is_said(tools, rotation, said):
    content = copy.deepcopy(tools.good)
    content["annotations"][0]["attributes"] = dict(occluded=False, rotation=rotation)
    tools.write(content)
    warnings = check_data(tools.cfg, ("train",))
    assert len(warnings) == said
    if said:
        assert (
            f"annotation 1: attributes.rotation is {rotation}; boxes with a" in warnings[0].sentence
        )


def as_corners(box):
    x, y, width, height = box
    return [x, y, x + width, y + height]


def as_centre(box):
    x, y, width, height = box
    return [x + width / 2, y + height / 2, width, height]


def as_matrix(box):
    x, y, width, height = box
    return [y, x, height, width]


def as_shares(box):
    return [value / side for value, side in zip(box, (640, 480, 640, 480), strict=True)]


def random_boxes(number, seed=0):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.uniform(30, 200, (number, 2)), rng.uniform(20, 60, (number, 2))], 1)


def compared(boxes, true):
    annotations = [dict(id=i, bbox=list(map(float, box))) for i, box in enumerate(boxes)]
    findings = Findings("train", "a.json")
    extents = np.concatenate([true[:, :2], true[:, :2] + true[:, 2:]], 1)
    compare_with_masks(findings, annotations, extents, np.zeros(len(boxes), bool))
    return findings.found


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (as_corners, "; as [x1, y1, x2, y2] they would fit"),
        (as_centre, "; as [centre x, centre y, width, height] they would fit"),
        (as_matrix, "; as [y, x, height, width] they would fit"),
        (as_shares, ""),
    ],
)
def test_boxes_that_are_written_otherwise_throughout(change, hint):
    true = random_boxes(40)
    (error,) = compared([change(box) for box in true], true)
    assert error.level == "error" and error.count > 35
    assert error.what.endswith(f"COCO's format wants [x, y, width, height]{hint}")
    assert error.places[0].startswith("annotation 0: bbox [")


def test_a_few_boxes_that_do_not_fit_are_a_warning():
    true = random_boxes(40)
    boxes = true.copy()
    boxes[[3, 5], :2] += 100
    (warning,) = compared(boxes, true)
    assert (warning.level, warning.count) == ("warning", 2)
    assert [place.split(":")[0] for place in warning.places] == ["annotation 3", "annotation 5"]


def test_loose_and_rounded_boxes_fit():
    true = random_boxes(40)
    assert compared(true + np.array([-4, -4, 8, 8]), true) == []
    true[:, 2:] = 1.5  # where a pixel is much
    assert compared(np.floor(true) + np.array([0, 0, 1, 1]), true) == []


@pytest.mark.parametrize("masks", [False, True])
def test_boxes_are_compared_whether_masks_are_wanted_or_not(masks):
    true = random_boxes(10).tolist()
    content = dict(
        images=[dict(id=1, width=640, height=480, file_name="a.jpg")],
        annotations=[
            dict(id=i, image_id=1, category_id=1, bbox=as_corners([x, y, w, h]), area=w * h)
            | dict(iscrowd=0, segmentation=[[x, y, x + w, y, x + w, y + h, x, y + h]])
            for i, (x, y, w, h) in enumerate(true)
        ],
    )
    findings = Findings("train", "a.json")
    check_annotations(findings, content, evaluated=False, masks=masks)
    assert findings.has_error()


def categories(*names):
    return [dict(id=index, name=name) for index, name in enumerate(names)]


@pytest.mark.parametrize(
    ("used", "remedy"),
    [
        ([1, 1], "no annotation has id 0 (Roboflow writes its root so): delete that entry"),
        ([0], "no annotation has id 1 (Roboflow writes its root so): delete that entry"),
        ([0, 1], "give them different names, or give all their annotations one id"),
    ],
)
def test_two_categories_of_one_name(used, remedy):
    content = dict(
        categories=categories("droplet", "droplet", "cell"),
        annotations=[dict(category_id=own) for own in used],
    )
    for classes in (None, ("droplet",)):
        findings = Findings("train", "a.json")
        check_names(findings, content, classes)
        (error,) = findings.found
        assert remedy in error.what
        assert error.places == ("'droplet': ids 0, 1",)
    findings = Findings("train", "a.json")
    check_names(findings, content, ("cell",))
    assert findings.found == []


@pytest.mark.parametrize(
    ("name", "other", "what"),
    [
        ("café", unicodedata.normalize("NFD", "café"), "its Unicode form"),
        ("Ångström", unicodedata.normalize("NFD", "Ångström"), "its Unicode form"),
        ("cat", "Cat", "upper and lower case"),
        ("traffic light", "traffic  light ", "white space"),
        ("cat", " CAT", "upper and lower case and white space"),
        ("one two", "one\u00a0two", "how it is encoded"),
        ("cat", "\uff43at", "its Unicode form"),
        ("cat", "dog", None),
        ("cat", "cat1", None),
    ],
)
def test_names_that_look_alike(name, other, what):
    near = nearest(name, ["first", other])
    if what is None:
        assert near == ""
    else:
        assert (
            near == f"{other!a} of the file differs from {name!a} only in {what}: write both alike"
        )
        with pytest.raises(ValueError, match="lacks 1 of the classes") as error:
            check_classes("a.json", "data", ["first", other], [name])
        assert near in str(error.value)


def test_another_order_in_one_of_two_files_names_both(tools):
    content = copy.deepcopy(tools.good)
    content["categories"].reverse()
    tools.truth.write_text(json.dumps(content))
    check_data(tools.cfg, ("train",))
    with pytest.raises(ValueError, match="in another order, dog, cat, and ") as error:
        check_data(tools.cfg, ("val",))
    message = str(error.value)
    assert "instances_val.json has the classes of val_dataloader" in message
    assert "instances_train.json has cat, dog; mmdet numbers the classes" in message
    assert "`classes" not in message  # which would fit one file alone
    for split in ("train", "val"):
        tools.cfg[f"{split}_dataloader"].dataset.metainfo.classes = ("dog", "cat")
    with pytest.raises(ValueError, match=r"instances_train\.json has the classes") as error:
        check_data(tools.cfg, ("train", "val"))
    assert "instances_val.json has dog, cat; mmdet" in str(error.value)


def test_another_order_in_all_files_is_the_order_to_ask_for(tools):
    content = copy.deepcopy(tools.good)
    content["categories"].reverse()
    tools.write(content)
    with pytest.raises(ValueError, match=r"in another order; .*: `classes=\('dog', 'cat'\)`"):
        check_data(tools.cfg, ("train",))


def test_the_file_of_an_evaluator_is_checked_too(tools):
    other = tools.truth.with_name("other.json")
    tools.cfg.test_evaluator.ann_file = str(other)
    content = copy.deepcopy(tools.good)
    content["annotations"][0]["iscrowd"] = "0"
    other.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"other\.json: annotation 1: iscrowd is '0'"):
        check_data(tools.cfg, ("test",))


def test_ids_of_two_types_are_refused(tools):
    content = copy.deepcopy(tools.good)
    content["images"][0]["id"] = content["annotations"][0]["image_id"] = "one"
    tools.write(content)
    for call in tools.calls.values():
        with pytest.raises(ValueError, match="image 2; ids of images that are numbers while"):
            call()
