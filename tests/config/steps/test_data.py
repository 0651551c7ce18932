"""All flags over many configs: what each must and must not touch."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from mmengine.config import Config

from convnext_dense.config.steps.data import retarget
from convnext_dense.config_tree import walk

from ...configs import load

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).parents[3] / "configs"
DETECTORS = [
    "mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py",
    "mmdet::cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py",
    "mmdet::retinanet/retinanet_r50_fpn_1x_coco.py",
    "mmdet::yolox/yolox_s_8xb8-300e_coco.py",
    *(f"det/{path.name}" for path in sorted(CONFIGS.glob("det/*.py"))),
]
SEGMENTERS = [
    "mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py",
    *(f"seg/{path.name}" for path in sorted(CONFIGS.glob("seg/*.py"))),
]


def values(cfg: Config, key: str) -> list:
    """Every value under a key, at any depth of loaders, evaluators and model."""
    roots = [cfg[name] for name in cfg if name.endswith(("_dataloader", "_evaluator", "model"))]
    return [node[key] for root in roots for _, node in walk(root) if key in node]


@pytest.mark.parametrize("name", DETECTORS)
def test_detector_follows_in_every_place(name):
    cfg = retarget(load(name), data_root="/sets/own", classes="a,b,c", batch_size=5)
    assert set(values(cfg, "data_root")) == {"/sets/own"}
    paths = values(cfg, "ann_file")
    assert not [path for path in paths if path.startswith("data/")]
    assert cfg.val_evaluator.ann_file == "/sets/own/annotations/instances_val2017.json"
    assert cfg.test_evaluator.ann_file == "/sets/own/annotations/instances_val2017.json"
    # Mask2Former counts things and stuff.
    numbers = values(cfg, "num_classes") or values(cfg, "num_things_classes")
    assert set(numbers) == {3}
    assert values(cfg, "classes") == [("a", "b", "c")] * 3
    assert cfg.train_dataloader.batch_size == 5


@pytest.mark.parametrize("name", SEGMENTERS)
def test_segmenter_follows_in_every_place(name):
    cfg = retarget(load(name), data_root="/sets/own", classes="a,b,c", batch_size=5)
    assert set(values(cfg, "data_root")) == {"/sets/own"}
    # The heads of transformers stand at `head`.
    heads = [cfg.model.get(name) for name in ("decode_head", "auxiliary_head", "head")]
    assert {head.num_classes for head in heads if head} == {3}
    for split in ("train", "val", "test"):
        dataset = cfg[f"{split}_dataloader"].dataset
        assert dataset.type == "BaseSegDataset"
        assert dataset.reduce_zero_label is True
        assert dataset.metainfo.classes == ("a", "b", "c")
        assert len(set(map(tuple, dataset.metainfo.palette))) == 3
    assert cfg.train_dataloader.batch_size == 5


def test_argument_is_left_alone(cascade):
    before = copy.deepcopy(cascade.to_dict())
    retarget(cascade, data_root="/x", classes="a", img_size=320, batch_size=9, box_only=True)
    assert cascade.to_dict() == before


def test_no_flag_changes_nothing(cascade):
    assert retarget(cascade).to_dict() == cascade.to_dict()


def test_wrapped_data_sets_are_found(cascade):
    inner = cascade.train_dataloader.dataset
    cascade.train_dataloader.dataset = dict(
        type="RepeatDataset",
        times=3,
        dataset=dict(type="ConcatDataset", datasets=[inner, copy.deepcopy(inner)]),
    )
    both = retarget(cascade, data_root="/x", classes="a").train_dataloader.dataset.dataset.datasets
    assert [dataset.data_root for dataset in both] == ["/x", "/x"]
    assert [dataset.metainfo.classes for dataset in both] == [("a",), ("a",)]


@pytest.mark.parametrize("number", [0, -1])
def test_batch_size_is_at_least_one(cascade, number):
    with pytest.raises(ValueError, match=f"`batch_size` is at least 1, got {number}"):
        retarget(cascade, batch_size=number)


def test_part_of_a_config_is_refused():
    with pytest.raises(ValueError, match="has no model: it is a part of a config"):
        retarget(load("_base_/datasets/coco_instance.py"), data_root="/x")
