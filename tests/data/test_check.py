"""Bad data in COCO's format, and what concerns every layout."""

from __future__ import annotations

import json
import shlex

import pytest

from convnext_dense.cli.flags import with_flags
from convnext_dense.config.data.paths import DATA_VARIABLE
from convnext_dense.config.steps.data import retarget
from convnext_dense.data.check import check_data

FLAGS = dict(
    classes="cat,dog",
    ann_train="annotations/instances_train.json",
    ann_val="annotations/instances_val.json",
)


@pytest.fixture
def checked(mask_rcnn, coco_set):
    """Check a Mask R-CNN on a data set that ``spoil`` changes after the flags were applied."""

    def check(spoil=lambda content: None, splits=("train", "val"), **flags) -> None:
        root = coco_set()
        cfg = retarget(mask_rcnn, data_root=str(root), **{**FLAGS, **flags})
        for file in (root / "annotations").iterdir():
            content = json.loads(file.read_text())
            spoil(content)
            file.write_text(json.dumps(content))
        check_data(cfg, splits)

    return check


def test_good_data_passes(checked):
    checked(splits=("train", "val", "test"))


def test_missing_root_names_key_flag_and_variable(mask_rcnn, monkeypatch):
    monkeypatch.setenv(DATA_VARIABLE, "/sets")
    with pytest.raises(FileNotFoundError) as error:
        check_data(mask_rcnn)
    for part in (
        "data/coco/",
        "train_dataloader.dataset.data_root",
        "`data_root`",
        "CONVNEXT_DENSE_DATA",
        "(it is /sets)",
    ):
        assert part in str(error.value)


def test_missing_file_names_flag_and_what_is_there(mask_rcnn, coco_set):
    cfg = retarget(mask_rcnn, data_root=str(coco_set()))
    with pytest.raises(
        FileNotFoundError,
        match=r"instances_train2017\.json \(train_dataloader\.dataset\.ann_file\) does not exist: "
        r"name yours by `ann_train`; .* holds annotations/instances_train\.json, ",
    ):
        check_data(cfg)
    with pytest.raises(FileNotFoundError, match=r"\(val_dataloader\..*name yours by `ann_val`"):
        check_data(cfg, ("val",))


def test_missing_file_of_an_evaluator(mask_rcnn, coco_set):
    cfg = retarget(mask_rcnn, data_root=str(coco_set()), **FLAGS)
    cfg.val_evaluator.ann_file = "elsewhere.json"
    with pytest.raises(FileNotFoundError, match=r"elsewhere\.json \(val_evaluator\.ann_file\)"):
        check_data(cfg)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is not in COCO's format: it wants the lists images, annotations and categories"),
        ('{"images": {}, "categories": []}', "is not in COCO's format"),
        # json takes it from bytes, but pycocotools does not.
        ("\ufeff[]", "is not JSON: it begins with a byte order mark; save it as UTF-8 without one"),
    ],
)
def test_other_files_are_refused(mask_rcnn, coco_set, text, message):
    root = coco_set()
    cfg = retarget(mask_rcnn, data_root=str(root), **FLAGS)
    (root / FLAGS["ann_train"]).write_text(text)
    with pytest.raises(ValueError, match=rf"instances_train\.json \(.*ann_file\) {message}"):
        check_data(cfg)


def test_other_categories_are_listed(checked):
    with pytest.raises(
        ValueError, match=r"lacks 1 of the classes .* 'bird'; its .*`classes=\('cat', 'dog'\)`"
    ):
        checked(classes="cat,bird")


def test_default_classes_against_own_categories(checked):
    with pytest.raises(
        ValueError, match=r"lacks 78 of the classes .*'person'.*`classes=\('cat', 'dog'\)`"
    ):
        checked(classes=None)


def rename_cat(content, name):
    content["categories"][0]["name"] = name


def test_the_classes_to_give_are_quoted(checked):
    with pytest.raises(ValueError) as error:
        checked(spoil=lambda content: rename_cat(content, "driver's seat"))
    told = str(error.value).rpartition(": ")[2]
    assert told == """`classes=("driver's seat", 'dog')`"""
    assert shlex.split(with_flags(told)) == ["--classes", "driver's seat,dog"]


@pytest.mark.parametrize("name", ["cup, mug", " cat"])
def test_names_that_the_argument_cannot_give(checked, name):
    with pytest.raises(
        ValueError, match=rf": `classes` cannot state the name '{name}': .*metainfo\.classes"
    ):
        checked(spoil=lambda content: rename_cat(content, name))


def test_order_of_categories_counts(checked):
    with pytest.raises(
        ValueError, match=r"has the classes .* in another order; .*: `classes=\('cat', 'dog'\)`"
    ):
        checked(classes="dog,cat")


def test_fewer_classes_than_categories_are_a_choice(checked):
    checked(
        classes="dog",
        spoil=lambda content: content["annotations"].append(dict(content["annotations"][1], id=9)),
    )


def test_heads_for_other_classes(mask_rcnn, coco_set):
    cfg = retarget(mask_rcnn, data_root=str(coco_set()), **FLAGS)
    cfg.model.roi_head.bbox_head.num_classes = 80
    with pytest.raises(ValueError, match=r"roi_head\.bbox_head\.num_classes is 80, but .* are 2: "):
        check_data(cfg)


def test_heads_that_rely_on_the_default(mask_rcnn, coco_set):
    cfg = retarget(mask_rcnn, data_root=str(coco_set()), **FLAGS)
    del cfg.model.roi_head.bbox_head["num_classes"]
    with pytest.raises(ValueError, match=r"roi_head\.bbox_head\.num_classes is 80, but .* are 2: "):
        check_data(cfg)


def test_missing_masks_point_to_box_only(checked):
    def drop(content):
        for annotation in content["annotations"]:
            del annotation["segmentation"]

    with pytest.raises(
        ValueError, match=r"annotation 1 has no segmentation; .* `box_only=True` .*first of 2"
    ):
        checked(spoil=drop)


def test_box_only_wants_no_masks(checked):
    def drop(content):
        del content["annotations"][0]["segmentation"]

    checked(spoil=drop, box_only=True)


def test_no_images(checked):
    with pytest.raises(ValueError, match="lists no images: `ann_train` names another"):
        checked(spoil=lambda content: content["images"].clear())


@pytest.mark.parametrize("change", [dict(area=0), dict(iscrowd=1), dict(ignore=1)])
def test_nothing_left_to_learn(checked, change):
    def spoil(content):
        for annotation in content["annotations"]:
            annotation.update(change)

    with pytest.raises(ValueError, match="none of the 2 annotations counts"):
        checked(spoil=spoil)


def test_too_small_images_count_for_the_test_alone(checked):
    def shrink(content):
        for image in content["images"]:
            image["height"] = 31

    checked(spoil=shrink, splits=("val",))


def test_too_small_images_leave_nothing_to_train(checked):
    def shrink(content):
        for image in content["images"]:
            image["height"] = 31

    with pytest.raises(ValueError, match="an image of the file of at least 32 px a side"):
        checked(spoil=shrink)


@pytest.mark.parametrize(
    ("kind", "field"), [("images", "width"), ("annotations", "area"), ("categories", "name")]
)
def test_missing_field_is_named(checked, kind, field):
    with pytest.raises(ValueError, match=f" has no {field}; COCO's format wants "):
        checked(spoil=lambda content: content[kind][1].pop(field))


def test_evaluation_wants_iscrowd(checked):
    with pytest.raises(ValueError, match=r"instances_val.* annotation 1 has no iscrowd"):
        checked(spoil=lambda content: content["annotations"][0].pop("iscrowd"))


def test_equal_ids_are_refused(checked):
    with pytest.raises(ValueError, match="id 2; ids that several annotations have"):
        checked(spoil=lambda content: content["annotations"][0].update(id=2))


def test_missing_image_is_named_and_counted(mask_rcnn, coco_set):
    root = coco_set()
    cfg = retarget(mask_rcnn, data_root=str(root), **FLAGS)
    (root / "val" / "2.jpg").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"/val/2\.jpg; images missing, of 2: `ann_val` looks"
    ):
        check_data(cfg)


def test_unknown_data_set_is_named(mask_rcnn, coco_set):
    cfg = retarget(mask_rcnn, data_root=str(coco_set()), **FLAGS)
    cfg.train_dataloader.dataset.type = "MyDataset"
    with pytest.raises(ValueError, match=r"dataset\.type: there is no data set 'MyDataset'"):
        check_data(cfg)


def test_classes_as_a_string_are_refused(mask_rcnn, coco_set):
    cfg = retarget(mask_rcnn, data_root=str(coco_set()), **FLAGS)
    cfg.train_dataloader.dataset.metainfo.classes = "droplet"
    with pytest.raises(ValueError, match=r"is the string 'droplet'.*write \('droplet',\)"):
        check_data(cfg)


def test_hidden_truth_needs_no_annotations(checked, mask_rcnn):
    mask_rcnn.test_evaluator.format_only = True
    checked(spoil=lambda content: content.pop("annotations"), splits=("test",))
