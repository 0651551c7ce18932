from __future__ import annotations

import shutil

import pytest

from convnext_dense.config.data.paths import DATA_VARIABLE, apply_data_variable
from convnext_dense.config.steps.data import retarget

from ...configs import load

ANNOTATIONS = dict(
    ann_train="annotations/instances_train.json", ann_val="annotations/instances_val.json"
)


def test_coco_annotations_find_their_images(mask_rcnn, coco_set):
    root = coco_set()
    cfg = retarget(mask_rcnn, data_root=str(root), **ANNOTATIONS)
    assert cfg.train_dataloader.dataset.ann_file == ANNOTATIONS["ann_train"]
    assert cfg.train_dataloader.dataset.data_prefix == dict(img="train/")
    for split in ("val", "test"):
        assert cfg[f"{split}_dataloader"].dataset.ann_file == ANNOTATIONS["ann_val"]
        assert cfg[f"{split}_dataloader"].dataset.data_prefix == dict(img="val/")
        assert cfg[f"{split}_evaluator"].ann_file == str(root / ANNOTATIONS["ann_val"])


@pytest.mark.parametrize(
    "folder", ["train2017", "train", ".", "images", "images/train", "annotations"]
)
def test_image_folder_candidates(mask_rcnn, coco_set, folder):
    root = coco_set()
    images = [path.rename(root / path.name) for path in (root / "train").glob("*.jpg")]
    (root / "train").rmdir()
    (root / folder).mkdir(parents=True, exist_ok=True)
    for image in images:
        shutil.move(image, root / folder / image.name)
    cfg = retarget(mask_rcnn, data_root=str(root), ann_train=ANNOTATIONS["ann_train"])
    found = root / cfg.train_dataloader.dataset.data_prefix.img
    assert found.resolve() == (root / folder).resolve()


def test_configured_folder_comes_first(mask_rcnn, coco_set):
    root = coco_set()
    shutil.copytree(root / "train", root / "train2017")
    cfg = retarget(mask_rcnn, data_root=str(root), ann_train=ANNOTATIONS["ann_train"])
    assert cfg.train_dataloader.dataset.data_prefix.img == "train2017/"


def test_absolute_annotations_may_lie_elsewhere(mask_rcnn, coco_set, tmp_path_factory):
    root = coco_set()
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "instances_train.json"
    (root / ANNOTATIONS["ann_train"]).rename(elsewhere)
    cfg = retarget(mask_rcnn, data_root=str(root), ann_train=str(elsewhere))
    assert cfg.train_dataloader.dataset.ann_file == str(elsewhere)
    assert cfg.train_dataloader.dataset.data_prefix.img == "train/"


def test_images_not_found_lists_what_was_tried(mask_rcnn, coco_set):
    root = coco_set()
    shutil.rmtree(root / "train")
    with pytest.raises(
        FileNotFoundError, match=r"image 1\.jpg of .* is in none of .*/train2017, "
    ) as e:
        retarget(mask_rcnn, data_root=str(root), ann_train=ANNOTATIONS["ann_train"])
    assert str(root / "images" / "train") in str(e.value)


def test_missing_annotations_name_flag_and_place(mask_rcnn, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=rf"`ann_val='x\.json'`: there is no {tmp_path}/x\.json"
    ):
        retarget(mask_rcnn, data_root=str(tmp_path), ann_val="x.json")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"images": [{"id": 1}], "annotations": []}'])
def test_unreadable_annotations_are_named(mask_rcnn, tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match=r"x\.json \(`ann_train`\) is not (JSON|in COCO)"):
        retarget(mask_rcnn, data_root=str(tmp_path), ann_train="x.json")


@pytest.mark.parametrize("kind", ["images", "annotations"])
@pytest.mark.parametrize("record", [None, 7, {}, dict(id=None), dict(id=[1], image_id=[1])])
def test_records_that_break_a_rule_are_left_to_the_check(mask_rcnn, coco_set, kind, record):
    root = coco_set(lambda content: content[kind].insert(0, record))
    cfg = retarget(mask_rcnn, data_root=str(root), **ANNOTATIONS)
    assert cfg.train_dataloader.dataset.data_prefix.img == "train/"


def test_records_of_which_none_is_whole_are_named(mask_rcnn, coco_set):
    root = coco_set(lambda content: [image.update(file_name=3) for image in content["images"]])
    with pytest.raises(ValueError, match=r"_train\.json: image 1: file_name is 3; COCO's format"):
        retarget(mask_rcnn, data_root=str(root), **ANNOTATIONS)


def test_a_byte_order_mark_is_named(mask_rcnn, coco_set):
    root = coco_set()
    file = root / ANNOTATIONS["ann_train"]
    file.write_text(file.read_text(), encoding="utf-8-sig")
    with pytest.raises(ValueError, match=r"\.json \(`ann_train`\) .* UTF-8 without"):
        retarget(mask_rcnn, data_root=str(root), ann_train=ANNOTATIONS["ann_train"])


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_label_maps_find_their_images(upernet, label_maps, suffix):
    root = label_maps(image_suffix=suffix)
    (root / "annotations" / "training").rename(root / "annotations" / "more")
    (root / "images" / "training").rename(root / "images" / "more")
    cfg = retarget(
        upernet,
        data_root=str(root),
        classes="a,b",
        ann_train="annotations/more",
        ann_val=str(root / "annotations" / "validation"),
    )
    train, test = cfg.train_dataloader.dataset, cfg.test_dataloader.dataset
    assert train.data_prefix == dict(img_path="images/more", seg_map_path="annotations/more")
    assert test.data_prefix.img_path == str(root / "images" / "validation")
    assert (train.img_suffix, train.seg_map_suffix) == (suffix, ".png")


def test_label_maps_under_an_unknown_name_are_refused(upernet, tmp_path):
    (tmp_path / "truth").mkdir()
    with pytest.raises(ValueError, match="`ann_train='truth'`: its images cannot be found by name"):
        retarget(upernet, data_root=str(tmp_path), ann_train="truth")


def test_annotations_for_two_data_sets_are_refused(mask_rcnn, tmp_path):
    inner = mask_rcnn.train_dataloader.dataset
    mask_rcnn.train_dataloader.dataset = dict(type="ConcatDataset", datasets=[inner, inner])
    with pytest.raises(
        ValueError, match=r"one file cannot serve several data sets: .*datasets\.0, "
    ):
        retarget(mask_rcnn, data_root=str(tmp_path), ann_train="x.json")


@pytest.mark.slow
def test_annotations_for_another_layout_are_refused(tmp_path):
    cfg = load("mmdet::pascal_voc/retinanet_r50_fpn_1x_voc0712.py")
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(ValueError, match="is a VOCDataset, which reads neither"):
        retarget(cfg, data_root=str(tmp_path), ann_val="x.json")


def test_instance_recipes_may_inherit_a_prefix_that_they_do_not_read(coco_set):
    cfg = retarget(
        load("mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py"),
        data_root=str(coco_set()),
        ann_train="annotations/instances_train.json",
    )
    assert list(cfg.train_dataloader.dataset.data_prefix) == ["img"]


def test_several_roots_are_refused(mask_rcnn):
    mask_rcnn.val_dataloader.dataset.data_root = "data/other/"
    with pytest.raises(
        ValueError, match=r"cannot replace several: .*val_dataloader\.dataset\.data_root"
    ):
        retarget(mask_rcnn, data_root="/x")


def test_data_set_without_root_is_refused(mask_rcnn):
    del mask_rcnn.val_dataloader.dataset["data_root"]
    with pytest.raises(ValueError, match=r"val_dataloader\.dataset has no data_root to replace"):
        retarget(mask_rcnn, data_root="/x")


@pytest.mark.slow
def test_evaluators_in_a_list_follow():
    cfg = load("mmdet::cityscapes/mask-rcnn_r50_fpn_1x_cityscapes.py")
    coco, cityscapes = retarget(cfg, data_root="/x").val_evaluator
    assert coco.ann_file == "/x/annotations/instancesonly_filtered_gtFine_val.json"
    assert cityscapes.seg_prefix == "/x/gtFine/val"
    assert cityscapes.outfile_prefix == cfg.val_evaluator[1].outfile_prefix


def test_variable_stands_for_the_data_folder(mask_rcnn, upernet, tmp_path):
    (tmp_path / "coco").mkdir()
    (tmp_path / "ade" / "ADEChallengeData2016").mkdir(parents=True)
    environ = {DATA_VARIABLE: str(tmp_path)}
    cfg = apply_data_variable(mask_rcnn, environ)
    assert cfg.train_dataloader.dataset.data_root == str(tmp_path / "coco")
    assert cfg.val_evaluator.ann_file == f"{tmp_path}/coco/annotations/instances_val2017.json"
    cfg = apply_data_variable(upernet, environ)
    ade = str(tmp_path / "ade" / "ADEChallengeData2016")
    assert cfg.test_dataloader.dataset.data_root == ade


def test_variable_may_name_the_data_set_itself(mask_rcnn, tmp_path):
    cfg = apply_data_variable(mask_rcnn, {DATA_VARIABLE: str(tmp_path)})
    assert cfg.train_dataloader.dataset.data_root == str(tmp_path)


def test_variable_leaves_other_roots_alone(mask_rcnn, tmp_path):
    cfg = retarget(mask_rcnn, data_root="/sets/own")
    assert apply_data_variable(cfg, {DATA_VARIABLE: str(tmp_path)}).to_dict() == cfg.to_dict()
    assert apply_data_variable(mask_rcnn, {}).to_dict() == mask_rcnn.to_dict()


def test_flag_wins_over_variable(mask_rcnn, tmp_path):
    cfg = retarget(apply_data_variable(mask_rcnn, {DATA_VARIABLE: str(tmp_path)}), data_root="/x")
    assert cfg.train_dataloader.dataset.data_root == "/x"
    assert cfg.val_evaluator.ann_file == "/x/annotations/instances_val2017.json"
