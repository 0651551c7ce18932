"""What cannot be evaluated is refused by name, not counted in silence."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from convnext_dense.evaluation.coco_input import check_type, read_results, read_truth, types_of

TINY = Path(__file__).parent / "tiny_coco"
NAN, INFINITE = float("nan"), float("inf")


@pytest.fixture
def truth():
    return read_truth(TINY / "annotations.json")


@pytest.fixture
def results():
    return json.loads((TINY / "results.json").read_text())


def refused(content, truth, tmp_path):
    file = tmp_path / "results.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ValueError) as error:
        read_results(file, truth, "truth.json")
    message = str(error.value)
    assert str(file) in message
    return message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            dict(image_id=8),
            "have an unknown image_id: it is not among the 3 images of truth.json (1000",
        ),
        (dict(image_id="7"), "image_id '7'"),
        (dict(image_id=[7]), "image_id [7]"),
        (dict(category_id=4), "have an unknown category_id: it is not among the 3 categories of"),
        (dict(score=NAN), "have a score that is not a finite number"),
        (dict(score=INFINITE), "with score inf"),
        (dict(score=None), "with score None, image_id 1000"),
        (dict(score="0.5"), "with score '0.5'"),
        (dict(score=True), "with score True"),
        (dict(bbox=[1, 2, 3]), "have a bbox that is not [x, y, width, height]"),
        (dict(bbox=[1, 2, NAN, 4]), "bbox [1, 2, nan, 4]"),
        (dict(bbox=[1, 2, -3, 4]), "bbox [1, 2, -3, 4]"),
        (
            dict(segmentation=[[0, 0, 9, 0, 9, 9]]),
            "have a segmentation that is not a compressed RLE",
        ),
        (dict(segmentation=dict(size=[2, 2], counts=[4])), "not a compressed RLE"),
        (dict(segmentation=dict(size=[100, 200], counts="a")), "a mask of another size"),
    ],
)
def test_names_the_first_wrong_result_and_their_number(truth, results, tmp_path, change, said):
    for index in (2, 5):
        results[index].update(change)
    message = refused(results, truth, tmp_path)
    assert said in message
    assert "2 of 8 results have" in message
    assert "the first is number 2 with" in message


@pytest.mark.parametrize("key", ["image_id", "category_id", "score"])
def test_names_a_missing_key(truth, results, tmp_path, key):
    del results[3][key]
    message = refused(results, truth, tmp_path)
    assert f"1 of 8 results have no {key}; the first is number 3" in message


def test_refuses_what_is_no_result_file(truth, results, tmp_path):
    whole = json.dumps(results)
    unfinished = refused(whole[: len(whole) // 2], truth, tmp_path)
    assert "is not whole JSON; writing it may have been interrupted" in unfinished
    assert "is not whole JSON" in refused("", truth, tmp_path)
    annotations = (TINY / "annotations.json").read_text()
    assert "looks like annotations, which are the second argument" in refused(
        annotations, truth, tmp_path
    )
    assert "1 of 9 results are not objects" in refused([*results, 3], truth, tmp_path)
    assert "neither bbox nor seg" in refused(
        [dict(image_id=7, category_id=3, score=1)], truth, tmp_path
    )
    with pytest.raises(FileNotFoundError, match=r"there is no result file nowhere\.json"):
        read_results("nowhere.json", truth, "truth.json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t["images"].append(t["images"][0]), "id 7; ids that several images have"),
        (
            lambda t: t["categories"].append(t["categories"][2]),
            "id 90; ids that several categories have",
        ),
        (
            lambda t: t["annotations"].append(t["annotations"][3]),
            "id 900; ids that several annotations have",
        ),
        (
            lambda t: t["annotations"][0].update(image_id=8),
            "annotation 5: image_id 8; annotations whose image_id is not among",
        ),
        (
            lambda t: t["annotations"][0].update(category_id=8),
            "annotation 5: category_id 8; annotations whose category_id",
        ),
        (
            lambda t: t["annotations"][0].update(bbox=[0, 0, NAN, 1]),
            "annotation 5: bbox is [0, 0, nan, 1]; COCO's format",
        ),
        (
            lambda t: t["annotations"][0].update(area=NAN),
            "annotation 5: area is NaN; COCO's format wants",
        ),
        (lambda t: t["annotations"][0].pop("area"), "annotation 5 has no area"),
        (lambda t: t["annotations"][0].pop("iscrowd"), "annotation 5 has no iscrowd"),
        (lambda t: t.pop("categories"), "is not in COCO's format"),
    ],
)
def test_refuses_a_truth_that_cannot_be_compared_with(truth, tmp_path, change, said):
    truth = copy.deepcopy(truth)
    change(truth)
    file = tmp_path / "truth.json"
    file.write_text(json.dumps(truth))
    with pytest.raises(ValueError, match=r"truth\.json") as error:
        read_truth(file)
    assert said in str(error.value)


def test_types_are_those_of_both_files(truth, results):
    assert types_of(results, truth) == ("bbox", "segm")
    boxes = [{k: v for k, v in r.items() if k != "segmentation"} for r in results]
    assert types_of(boxes, truth) == ("bbox",)
    for annotation in truth["annotations"]:
        del annotation["segmentation"]
    assert types_of(results, truth) == ("bbox",)
    masks = [{k: v for k, v in r.items() if k != "bbox"} for r in results]
    assert types_of(masks, truth) == ()


def test_refuses_a_type_that_one_of_the_files_lacks(truth, results):
    check_type("segm", results, truth, "r.json")
    del results[4]["segmentation"]
    with pytest.raises(ValueError, match=r"r\.json: 1 of 8 results have no segmentation, which"):
        check_type("segm", results, truth, "r.json")
    del results[0]["bbox"]
    with pytest.raises(ValueError, match=r"1 of 8 results have no bbox.*the first is number 0"):
        check_type("bbox", results, truth, "r.json")
    truth["annotations"][1]["segmentation"]["size"] = [100, 100]
    with pytest.raises(
        ValueError, match=r"annotation 6; run lengths .* of another size than their image"
    ):
        check_type("segm", [], truth, "r.json")
    del truth["annotations"][0]["segmentation"]
    with pytest.raises(ValueError, match="1 of 4 annotations have no segmentation"):
        check_type("segm", [], truth, "r.json")
