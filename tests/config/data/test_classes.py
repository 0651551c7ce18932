from __future__ import annotations

import pytest

from convnext_dense.config.data.classes import distinct_colours, parse_classes, set_num_classes
from convnext_dense.config.steps.data import retarget

from ...configs import load


def test_names_come_as_list_or_string():
    assert parse_classes(" a , traffic light,b") == ("a", "traffic light", "b")
    assert parse_classes(["a", "b"]) == ("a", "b")


@pytest.mark.parametrize("given", ["", "a,,b", "a,", [], ["a", " "]])
def test_empty_name_is_refused(given):
    with pytest.raises(ValueError, match="has an empty name: give them as a,b,c"):
        parse_classes(given)


def test_duplicates_are_named():
    with pytest.raises(ValueError, match="`classes` names b, c more than once"):
        parse_classes("b,a,c,b, c")


@pytest.mark.slow
def test_segmenter_wants_two_classes(upernet):
    with pytest.raises(ValueError, match="at least 2 classes: name the background too"):
        retarget(upernet, classes="road")


@pytest.mark.slow
def test_labels_from_zero_stay_labels_from_zero():
    cityscapes = load("mmseg::upernet/upernet_r50_4xb2-40k_cityscapes-512x1024.py")
    cfg = retarget(cityscapes, classes="a,b")
    assert cfg.train_dataloader.dataset.reduce_zero_label is False


@pytest.mark.parametrize(
    ("dataset", "endings"),
    [
        ("CityscapesDataset", ("_leftImg8bit.png", "_gtFine_labelTrainIds.png")),
        ("DarkZurichDataset", ("_rgb_anon.png", "_gt_labelTrainIds.png")),  # a Cityscapes
        ("DRIVEDataset", (".png", "_manual1.png")),
        ("COCOStuffDataset", (".jpg", "_labelTrainIds.png")),
        ("BaseSegDataset", (".jpg", ".png")),
    ],
)
def test_the_endings_of_a_data_sets_files_stay(upernet, dataset, endings):
    upernet.train_dataloader.dataset.type = dataset
    found = retarget(upernet, classes="a,b").train_dataloader.dataset
    assert (found.type, found.img_suffix, found.seg_map_suffix) == ("BaseSegDataset", *endings)


def test_endings_of_the_config_win(upernet):
    upernet.train_dataloader.dataset.update(type="CityscapesDataset", seg_map_suffix=".png")
    found = retarget(upernet, classes="a,b").train_dataloader.dataset
    assert (found.img_suffix, found.seg_map_suffix) == ("_leftImg8bit.png", ".png")


@pytest.mark.slow
def test_query_head_and_its_background_weight():
    name = "mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py"
    model = retarget(load(name), classes="a,b").model
    assert model.panoptic_head.num_things_classes == 2
    assert model.panoptic_fusion_head.num_things_classes == 2
    assert model.panoptic_head.loss_cls.class_weight == [1.0, 1.0, 0.1]


@pytest.mark.slow
def test_panoptic_data_is_refused():
    name = "mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py"
    with pytest.raises(ValueError, match=r"train_dataloader\.dataset is a CocoPanopticDataset"):
        retarget(load(name), classes="a,b")


def test_weights_of_single_classes_are_refused(upernet):
    upernet.model.decode_head.loss_decode.class_weight = [1.0] * 149 + [2.0]
    with pytest.raises(
        ValueError, match=r"loss_decode\.class_weight has a weight for each of the old 150 classes"
    ):
        retarget(upernet, classes="a,b")


def test_head_for_other_things_keeps_its_number(upernet):
    upernet.model.auxiliary_head.num_classes = 2  # such as STDC's boundaries
    set_num_classes(upernet.model, 11)
    assert upernet.model.decode_head.num_classes == 11
    assert upernet.model.auxiliary_head.num_classes == 2


@pytest.mark.slow
def test_heads_that_rely_on_the_default_follow(cascade):
    for head in cascade.model.roi_head.bbox_head:
        del head["num_classes"]
    roi_head = retarget(cascade, classes="a,b").model.roi_head
    assert [head.num_classes for head in roi_head.bbox_head] == [2, 2, 2]
    assert roi_head.mask_head.num_classes == 2


@pytest.mark.slow
def test_model_without_classes_is_refused():
    with pytest.raises(ValueError, match="the model RPN has no head with num_classes"):
        retarget(load("mmdet::rpn/rpn_r50_fpn_1x_coco.py"), classes="a,b")


def test_colours_differ():
    assert len(set(distinct_colours(150))) == 150
    assert distinct_colours(3) == distinct_colours(150)[:3]
