from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from convnext_dense.data.shapes import CLASSES, annotate, draw_scene, make_shapes

SIZE = 160


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("shapes") / "set"
    assert make_shapes(out, train=30, val=4, size=SIZE, seed=3)
    return out


@pytest.fixture(scope="module")
def coco(made) -> COCO:
    return COCO(str(made / "annotations" / "instances_train.json"))


@pytest.mark.slow
def test_files_are_as_many_and_as_large_as_listed(made):
    for split, number in (("train", 30), ("val", 4)):
        content = json.loads((made / "annotations" / f"instances_{split}.json").read_text())
        names = {image["file_name"] for image in content["images"]}
        assert {path.name for path in (made / split).iterdir()} == names
        assert len(names) == number
        assert cv2.imread(str(made / split / min(names))).shape == (SIZE, SIZE, 3)
        assert [category["name"] for category in content["categories"]] == list(CLASSES)


@pytest.mark.slow
def test_area_and_box_are_those_of_the_mask(coco):
    for annotation in coco.anns.values():
        y, x = np.nonzero(coco.annToMask(annotation))
        assert annotation["area"] == len(y)
        left, top = x.min(), y.min()
        assert annotation["bbox"] == [left, top, x.max() + 1 - left, y.max() + 1 - top]


def test_visible_parts_do_not_overlap(coco):
    # Polygons run between pixels: a pixel on a border may fall to both sides.
    for image in coco.imgs:
        masks = [coco.annToMask(a) for a in coco.loadAnns(coco.getAnnIds(imgIds=[image]))]
        assert (np.sum(masks, 0) > 1).sum() < 0.02 * np.sum(masks)


def test_every_class_small_objects_and_crowds_occur(coco):
    annotations = list(coco.anns.values())
    assert {annotation["category_id"] for annotation in annotations} == {1, 2, 3, 4, 5}
    assert any(
        annotation["area"] < 32**2 and not annotation["iscrowd"] for annotation in annotations
    )
    crowds = [annotation for annotation in annotations if annotation["iscrowd"]]
    assert 0 < len(crowds) < len(coco.imgs)
    assert all(isinstance(crowd["segmentation"], dict) for crowd in crowds)


def test_polygons_describe_the_mask_they_came_from():
    _, objects = draw_scene(np.random.default_rng(5), SIZE)
    coco = COCO()
    coco.imgs = {1: dict(height=SIZE, width=SIZE)}
    for _, mask, is_crowd in objects:
        found = coco.annToMask(dict(annotate(mask, is_crowd), image_id=1)).astype(bool)
        assert (found & mask).sum() / (found | mask).sum() > 0.95


def test_what_has_a_hole_becomes_run_lengths():
    mask = np.zeros((40, 40), bool)
    mask[5:30, 5:30] = True
    assert isinstance(annotate(mask, False)["segmentation"], list)
    mask[12:18, 12:18] = False
    annotation = annotate(mask, False)
    assert isinstance(annotation["segmentation"], dict)
    assert annotation["area"] == 25 * 25 - 6 * 6


@pytest.mark.slow
def test_same_seed_gives_the_same_bytes(made, tmp_path):
    again = tmp_path / "again"
    make_shapes(again, train=30, val=4, size=SIZE, seed=3)
    files = sorted(path.relative_to(made) for path in made.rglob("*") if path.is_file())
    assert len(files) == 37
    for file in files:
        assert (again / file).read_bytes() == (made / file).read_bytes(), file


def test_splits_and_seeds_differ(made, tmp_path):
    make_shapes(tmp_path / "other", train=1, val=1, size=SIZE, seed=4)
    first = (made / "train" / "000000.jpg").read_bytes()
    assert (made / "val" / "000000.jpg").read_bytes() != first
    assert (tmp_path / "other" / "train" / "000000.jpg").read_bytes() != first


def test_same_parameters_reuse_what_is_there(made):
    assert make_shapes(made, train=30, val=4, size=SIZE, seed=3) is False


def test_other_parameters_are_refused(made):
    with pytest.raises(
        FileExistsError, match=r"holds shapes made with .*'seed': 3.*: name another"
    ):
        make_shapes(made, train=30, val=4, size=SIZE, seed=5)


def test_foreign_files_are_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match="files that are not a data set of shapes"):
        make_shapes(tmp_path, train=1, val=1, size=SIZE)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_interrupted_run_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("convnext_dense.data.shapes.annotate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make_shapes(tmp_path / "set", train=1, val=1, size=SIZE)
    assert list(tmp_path.iterdir()) == []


def test_small_numbers_are_refused(tmp_path):
    with pytest.raises(ValueError, match="`size` of at least 96"):
        make_shapes(tmp_path / "set", size=64)
