"""A data set in COCO's format that is whole but for one thing, and what is said of it."""

from __future__ import annotations

import json
import math

import pytest

from convnext_dense.data.audit import audit_data

TRAIN = "annotations/instances_train.json"


@pytest.fixture
def audited(cfg_on, coco_set):
    """Audit a data set whose training part ``spoil`` changes after the flags were applied."""

    def audit(spoil, split="train", **flags):
        root = coco_set()
        cfg = cfg_on(root, **flags)
        file = root / "annotations" / f"instances_{split}.json"
        content = json.loads(file.read_text())
        spoil(content)
        file.write_text(json.dumps(content))
        return audit_data(cfg)

    return audit


def set_first(kind, **values):
    return lambda content: content[kind][0].update(values)


def append_copy(kind, **values):
    return lambda content: content[kind].append({**content[kind][0], **values})


def polygon(*coordinates):
    return set_first("annotations", segmentation=[list(coordinates)])


def of_level(audit, level):
    return [finding for finding in audit.findings if finding.level == level]


def test_good_data_gives_no_finding_and_its_counts(cfg_on, coco_set):
    audit = audit_data(cfg_on(coco_set()))
    assert audit.findings == []
    assert [(c.where, c.key, c.images) for c in audit.checked] == [
        ("train", "train_dataloader.dataset", 2),
        ("val, test", "val_dataloader.dataset", 2),
    ]
    for checked in audit.checked:
        assert checked.rows == [
            dict(zip(("class", *_COLUMNS), (name, 1, 1, 1, 0, 0, 0), strict=True))
            for name in ("cat", "dog")
        ]


_COLUMNS = ("images", "objects", "small", "medium", "large", "crowds")


@pytest.mark.parametrize(
    ("spoil", "what", "place"),
    [
        (append_copy("annotations"), "ids that several annotations have", "id 1"),
        (append_copy("images", file_name="2.jpg"), "ids that several images have", "id 1"),
        (
            append_copy("categories", name="cow"),
            "ids that several categories have",
            "id 3",
        ),
        (
            append_copy("annotations", id=9, image_id=99),
            "annotations whose image_id is not among the images",
            "annotation 9: image_id 99",
        ),
        (
            append_copy("annotations", id=9, category_id=99),
            "annotations whose category_id is not among the categories",
            "annotation 9: category_id 99",
        ),
        (
            append_copy("images", id=9, file_name="9.jpg"),
            "images missing, of 3",
            "train/9.jpg",
        ),
        (
            set_first("images", width=0),
            "COCO's format wants width of image to be a whole number of pixels above 0",
            "image 1: width is 0",
        ),
        (
            set_first("images", width=48, height=64),
            "images of another size than annotated",
            "train/1.jpg: 64 x 48, annotated 48 x 64",
        ),
        (
            append_copy("annotations", id=9, bbox=[1, 2, math.nan, 4]),
            "COCO's format wants bbox of annotation to be [x, y, width, height], four finite",
            "annotation 9: bbox is [1, 2, nan, 4]",
        ),
        (
            append_copy("annotations", id=9, bbox=[1, 2, "3", 4]),
            "COCO's format wants bbox",
            "annotation 9: bbox is [1, 2, '3', 4]",
        ),
        (
            append_copy("annotations", id=9, bbox=[1, 2, 3]),
            "COCO's format wants bbox",
            "annotation 9: bbox is [1, 2, 3]",
        ),
        (
            append_copy("annotations", id=9, area=None),
            "COCO's format wants area of annotation to be a finite number not below 0",
            "annotation 9: area is null",
        ),
        (
            append_copy("annotations", id=9, bbox=[30, 20, -10, 5]),
            "COCO's format wants bbox",
            "annotation 9: bbox is [30, 20, -10, 5]",
        ),
        (
            append_copy("annotations", id=9, area=-3),
            "COCO's format wants area",
            "annotation 9: area is -3",
        ),
        (
            append_copy("annotations", id=9, bbox=[64, 20, 10, 5]),
            "boxes wholly outside of their image",
            "annotation 9: [64, 20, 10, 5] in 64 x 48",
        ),
        (
            append_copy("annotations", id=9, segmentation=[]),
            "the config needs masks",
            "annotation 9 has no segmentation",
        ),
        (polygon(4, 4, 24), "polygons with fewer than 3 points or an odd", "annotation 1"),
        (polygon(4, 4, 24, 14), "polygons of four numbers, which labelme writes", "annotation 1"),
        (polygon(4, 4, 24, 4, 24, 14, 4), "polygons with fewer than 3 points", "annotation 1"),
        (
            set_first("annotations", segmentation=[4, 4, 24, 4, 24, 14]),
            "polygons with fewer than 3 points",
            "annotation 1",
        ),
        (
            polygon(4, 4, 24, math.inf, 24, 14),
            "polygons with a coordinate that is not a finite number",
            "annotation 1",
        ),
        (
            polygon(4, 4, 24, None, 24, 14),
            "polygons with a coordinate that is not a finite number",
            "annotation 1",
        ),
        (
            set_first("annotations", segmentation=dict(counts="abc")),
            "segmentations that are neither polygons nor run lengths",
            "annotation 1",
        ),
        (
            set_first("annotations", segmentation=dict(size=[64, 48], counts=[64 * 48])),
            "run lengths (RLE) of another size than their image",
            "annotation 1",
        ),
        (
            set_first("annotations", segmentation=dict(size=[48, 64], counts=[100])),
            "run lengths (RLE) whose counts do not sum to height x width",
            "annotation 1",
        ),
    ],
)
def test_errors(audited, spoil, what, place):
    audit = audited(spoil)
    (error,) = [e for e in of_level(audit, "error") if e.what.startswith(what)]
    assert (error.where, error.count) == ("train", 1)
    assert error.places[0].endswith(place)
    assert {finding.where for finding in of_level(audit, "error")} == {"train"}


@pytest.mark.parametrize(
    ("spoil", "what", "place"),
    [
        (
            set_first(
                "annotations",
                bbox=[50, 4, 20, 10],
                segmentation=[[50, 4, 70, 4, 70, 14, 50, 14]],
            ),
            "boxes that exceed their image by more than 1 px",
            "annotation 1: [50, 4, 20, 10] in 64 x 48",
        ),
        (
            append_copy(
                "annotations",
                id=9,
                bbox=[4, 4, 20, 0],
                segmentation=[[4, 4, 24, 4, 24, 5, 4, 5]],
            ),
            "boxes with a side below 1 px",
            "annotation 9: [4, 4, 20, 0] in 64 x 48",
        ),
        (
            append_copy("annotations", id=9, area=0),
            "annotations whose area is 0",
            "annotation 9",
        ),
        (polygon(4, 4, 14, 9, 24, 14), "polygons without area", "annotation 1"),
        (
            append_copy("categories", id=9, name="cow"),
            "categories of the file that are not classes of the config",
            "cow (0 annotations)",
        ),
        (append_copy("images", id=9), "files that several images share", "1.jpg"),
        (set_first("annotations", iscrowd=1), "classes without an object", "cat"),
    ],
)
def test_warnings(audited, spoil, what, place):
    audit = audited(spoil)
    (warning,) = of_level(audit, "warning")
    assert warning.what.startswith(what)
    assert (warning.where, warning.places) == ("train", (place,))
    assert of_level(audit, "error") == []


@pytest.mark.parametrize(
    ("kind", "entry", "place"),
    [
        ("annotations", 7, "annotations[2] is 7"),
        ("annotations", dict(id=9, image_id=1), "annotation 9 has no category_id"),
        (
            "annotations",
            dict(id=9, image_id=[1], category_id=1),
            "annotation 9: image_id is [1]",
        ),
        ("images", dict(id=9, file_name=None), "image 9: file_name is null"),
        ("images", "9.jpg", "images[2] is '9.jpg'"),
        ("categories", dict(id=9), "category 9 has no name"),
    ],
)
def test_what_is_no_entry_is_named_and_the_others_are_checked(audited, kind, entry, place):
    audit = audited(lambda content: content[kind].append(entry))
    (error,) = audit.findings
    assert error.what.startswith("COCO's format wants ")
    assert (error.level, error.places) == ("error", (place,))
    assert audit.checked[0].images == 2
    assert [row["objects"] for row in audit.checked[0].rows] == [1, 1]


def test_an_image_without_a_file_takes_its_annotations_along(audited):
    audit = audited(set_first("images", file_name=None))
    (error,) = of_level(audit, "error")
    assert error.places == ("image 1: file_name is null",)
    assert audit.checked[0].images == 1
    assert [row["objects"] for row in audit.checked[0].rows] == [0, 1]


@pytest.mark.parametrize(
    ("kind", "field"), [("images", "width"), ("annotations", "area"), ("annotations", "bbox")]
)
def test_a_missing_field_leaves_the_other_entries_checked(audited, kind, field):
    audit = audited(lambda content: content[kind][0].pop(field))
    (error,) = of_level(audit, "error")
    assert error.what.startswith(f"COCO's format wants {field} of {kind[:-1]} to be ")
    assert error.places == (f"{kind[:-1]} 1 has no {field}",)
    assert audit.checked[0].images == 2
    assert [row["objects"] for row in audit.checked[0].rows] == [0, 1]


def test_half_a_pixel_beyond_the_edge_is_rounding(audited):
    masks = [[44.5, -0.5, 64.5, -0.5, 64.5, 9.5, 44.5, 9.5]]
    spoil = set_first("annotations", bbox=[44.5, -0.5, 20, 10], segmentation=masks)
    assert audited(spoil).findings == []


@pytest.mark.parametrize(
    ("split", "what"),
    [
        ("train", "images without an object, which training leaves out (filter_empty_gt)"),
        ("val", "images without an object"),
    ],
)
def test_images_without_an_object_are_counted(audited, split, what):
    audit = audited(lambda content: content["annotations"].pop(), split)
    (note,) = of_level(audit, "note")
    assert (note.what, note.places) == (what, ("2.jpg",))


def test_small_images_are_left_out_of_training(audited):
    audit = audited(set_first("images", height=31))
    (note,) = of_level(audit, "note")
    assert (note.what, note.places) == (
        "images below 32 px a side, which training leaves out",
        ("1.jpg",),
    )


def test_other_classes_are_one_error_a_data_set(audited):
    audit = audited(lambda content: None, classes="cat,bird")
    errors = of_level(audit, "error")
    assert [error.where for error in errors] == ["train", "val, test"]
    assert all("the first is 'bird'" in error.what for error in errors)
    dog = [w.places for w in of_level(audit, "warning") if w.what.startswith("categories")]
    assert dog == [("dog (1 annotations)",)] * 2


def test_heads_for_other_classes(cfg_on, coco_set):
    cfg = cfg_on(coco_set())
    cfg.model.roi_head.bbox_head.num_classes = 80
    errors = of_level(audit_data(cfg), "error")
    assert [e.what.startswith("model.roi_head.bbox_head.num_classes is 80") for e in errors] == [
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("text", "message"), [("{", "is not JSON"), ("[]", "is not in COCO's format")]
)
def test_a_file_that_is_none_leaves_the_others_checked(cfg_on, coco_set, text, message):
    root = coco_set()
    cfg = cfg_on(root)
    (root / TRAIN).write_text(text)
    (root / "val" / "2.jpg").unlink()
    first, second = of_level(audit_data(cfg), "error")
    assert first.where == "train" and message in first.what and first.places == ()
    assert (second.where, second.places) == ("val, test", (str(root / "val" / "2.jpg"),))


def test_missing_root_file_and_evaluators_file(cfg_on, coco_set):
    root = coco_set()
    cfg = cfg_on(root)
    cfg.train_dataloader.dataset.data_root = "no/data"
    cfg.val_dataloader.dataset.ann_file = "no.json"
    cfg.test_evaluator.ann_file = "nowhere.json"
    assert [(e.where, e.what.partition(" does not")[0]) for e in audit_data(cfg).findings] == [
        ("train", "data root no/data (train_dataloader.dataset.data_root)"),
        ("val", f"annotation file {root}/no.json (val_dataloader.dataset.ann_file)"),
        ("test", "annotation file nowhere.json (test_evaluator.ann_file)"),
    ]


def test_nothing_left_to_learn(audited):
    def spoil(content):
        for annotation in content["annotations"]:
            annotation["iscrowd"] = 1

    (error,) = of_level(audited(spoil), "error")
    assert "none of the 2 annotations counts" in error.what


def test_a_box_that_is_none_is_one_error(audited):
    (error,) = of_level(audited(set_first("annotations", bbox=[1])), "error")
    assert error.what.startswith("COCO's format wants bbox")


def test_box_only_looks_at_no_mask(audited):
    assert audited(polygon(1, 2), box_only=True).findings == []


def test_evaluation_wants_iscrowd(audited):
    audit = audited(lambda content: content["annotations"][0].pop("iscrowd"), "val")
    (error,) = of_level(audit, "error")
    assert error.places == ("annotation 1 has no iscrowd",)


def test_crowds_and_sizes_are_counted_apart(audited):
    def spoil(content):
        content["annotations"] += [
            dict(content["annotations"][0], id=10, area=32**2),
            dict(content["annotations"][0], id=11, area=96**2, image_id=2),
            dict(content["annotations"][0], id=12, iscrowd=1),
        ]

    cat, dog = audited(spoil).checked[0].rows
    assert cat == dict(zip(("class", *_COLUMNS), ("cat", 2, 3, 1, 1, 1, 1), strict=True))
    assert dog["objects"] == 1


def test_hidden_truth_is_said_and_not_checked(cfg_on, coco_set):
    cfg = cfg_on(coco_set())
    cfg.test_evaluator.format_only = True
    (note,) = audit_data(cfg).findings
    assert (note.level, note.where) == ("note", "test")
    assert "not public" in note.what
