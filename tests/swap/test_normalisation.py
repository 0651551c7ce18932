"""Images as the weights expect them, wherever a config normalises."""

from __future__ import annotations

import pytest
import torch

from convnext_dense import ConvNeXt, load_weights
from convnext_dense.cached_download import place_in_cache
from convnext_dense.checkpoints.origin import CLIP, IMAGENET, normalisation_for
from convnext_dense.config.read_config import read_config
from convnext_dense.config_tree import walk
from convnext_dense.swap import plan_swap
from convnext_dense.swap.edits import Edits
from convnext_dense.swap.normalisation import update_normalisation

from ..configs import load

pytestmark = pytest.mark.slow

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]

PREPROCESSORS = [
    ("mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py", "model.data_preprocessor"),  # BGR
    ("mmdet::yolo/yolov3_d53_8xb8-320-273e_coco.py", "model.data_preprocessor"),  # 0 to 255
    ("mmdet::yolox/yolox_nano_8xb8-300e_coco.py", "model.data_preprocessor"),  # not at all
    (
        "mmdet::soft_teacher/soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco.py",
        "model.data_preprocessor.data_preprocessor",
    ),
    (
        "mmdet::qdtrack/qdtrack_faster-rcnn_r50_fpn_8xb2-4e_mot17halftrain_test-mot17halfval.py",
        "model.data_preprocessor",
    ),
    ("mmseg::setr/setr_vit-l_naive_8xb1-80k_cityscapes-768x768.py", "data_preprocessor"),
]


@pytest.mark.parametrize(("name", "path"), PREPROCESSORS)
def test_every_kind_of_preprocessor(name, path):
    cfg = plan_swap(load(name), "atto").config
    found = dict(walk(cfg._cfg_dict))[path]
    assert (found["mean"], found["std"], found["bgr_to_rgb"]) == (MEAN, STD, True)
    assert "rgb_to_bgr" not in found


def test_weights_of_clip_expect_clips_images():
    cfg = load("mmdet::retinanet/retinanet_r50_fpn_1x_coco.py")
    weights = dict(type="Pretrained", checkpoint="timm/convnext_base.clip_laion2b_augreg")
    found = plan_swap(cfg, "base", init_cfg=weights).config.model.data_preprocessor
    assert found.mean == [122.7709, 116.7460, 104.0937]


def test_clips_weights_are_told_by_their_content_too(tmp_path):
    net = ConvNeXt("atto")
    path = tmp_path / "eclipse.pth"
    torch.save({f"visual.trunk.{name}": value for name, value in net.state_dict().items()}, path)
    cfg = load("mmdet::retinanet/retinanet_r50_fpn_1x_coco.py")
    weights = dict(type="Pretrained", checkpoint=str(path))
    found = plan_swap(cfg, "atto", init_cfg=weights).config.model.data_preprocessor
    assert found.mean == list(load_weights(net, path).mean) == list(CLIP[0])


def test_what_was_downloaded_is_told_by_its_content(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    url = "https://host/convnext.pth"
    assert normalisation_for(url) == IMAGENET
    path = place_in_cache(url)
    path.parent.mkdir()
    tower = {f"visual.trunk.{n}": v for n, v in ConvNeXt("atto").state_dict().items()}
    torch.save(tower, path)
    assert normalisation_for(url) == CLIP
    path.write_bytes(b"spoilt")
    assert normalisation_for(url) == IMAGENET


@pytest.mark.parametrize(
    ("mean", "std", "weights", "after"),
    [
        (MEAN, STD, "timm/convnext_base.clip_laion2b_augreg", CLIP),
        (list(CLIP[0]), list(CLIP[1]), "timm/convnext_base.fb_in22k", IMAGENET),
        (tuple(CLIP[0]), list(CLIP[1]), "imagenet1k", IMAGENET),
        ([1.0, 2.0, 3.0], [1.0, 1.0, 1.0], "timm/convnext_base.clip_laion2b_augreg", None),
        (MEAN, STD, "/home/eclipse/x.pth", None),
    ],
)
def test_weights_under_a_config_that_has_its_backbone(mean, std, weights, after):
    cfg = read_config("configs/det/mask_rcnn_convnext_t_coco.py")
    cfg.model.data_preprocessor.update(mean=mean, std=std)
    edits = Edits(cfg)
    update_normalisation(edits, weights)
    found = edits.cfg["model"]["data_preprocessor"]
    if after is None:
        assert not edits.changes
    else:
        assert (found["mean"], found["std"]) == tuple(map(list, after))


def test_paddings_stay():
    name = "mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py"
    cfg = read_config(name)
    cfg.model.data_preprocessor.mean = [0.0, 0.0, 0.0]
    before, after = (c.model.data_preprocessor for c in (cfg, plan_swap(cfg, "atto").config))
    assert {**after, "mean": None} == {**before, "mean": None}
    assert after.batch_augments and after.pad_size_divisor == 32


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("mmdet::ssd/ssd300_coco.py", "Expand"),
        ("mmdet::centernet/centernet_r18_8xb16-crop512-140e_coco.py", "RandomCenterCropPad"),
    ],
)
def test_what_fills_borders_fills_them_with_the_mean(name, kind):
    cfg = read_config(name)
    cfg.model.data_preprocessor.mean = [1.0, 2.0, 3.0]
    filling = [
        node
        for _, node in walk(plan_swap(cfg, "atto").config._cfg_dict)
        if node.get("type") == kind and node.get("mean") is not None
    ]
    assert filling
    assert all(node["mean"] == MEAN and node["to_rgb"] for node in filling)
