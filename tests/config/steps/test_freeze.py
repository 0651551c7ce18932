"""``freeze`` sets ``frozen_stages`` of any backbone that has it, and says what trains."""

from __future__ import annotations

import copy

import pytest
from mmcv.cnn import is_norm
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from convnext_dense.config.options import RunOptions
from convnext_dense.config.state import Plan
from convnext_dense.config.steps import freeze as step
from convnext_dense.config.steps.freeze import set_freeze
from convnext_dense.patches import enable

pytestmark = pytest.mark.slow

OURS = dict(type="ConvNeXt", arch=dict(depths=(1, 1, 1, 1), channels=(4, 8, 12, 16)))
RESNET = dict(type="mmdet.ResNet", depth=18, norm_cfg=dict(type="BN"))
SWIN = dict(
    type="mmseg.SwinTransformer", embed_dims=12, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1)
)
# The backbones of mmdet's and mmseg's zoo that freeze stages, and the most that each takes.
BACKBONES = {
    "ours": (OURS, 4),
    "three of ours": (dict(OURS, out_indices=(0, 1, 2)), 3),
    "isotropic": (dict(type="ConvNeXt", arch="iso_small", out_indices=(0,)), 1),
    "resnet": (RESNET, 4),
    "three stages": (
        dict(RESNET, num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,)),
        3,
    ),
    "by keywords": (dict(RESNET, type="mmdet.ResNetV1d"), 4),
    "mmseg's resnet": (dict(RESNET, type="mmseg.ResNetV1c"), 4),
    "swin": (SWIN, 4),
    "in training alone": (dict(type="mmdet.CSPDarknet", widen_factor=0.125), 4),
    "no -1": (dict(type="mmdet.EfficientNet", arch="b0", out_indices=(3, 4, 5)), 6),
}


def plan(freeze, backbone: dict, **cfg) -> Plan:
    model = dict(type="Detector", backbone=backbone)
    return Plan(RunOptions("a.py", freeze=freeze), Config(dict(model=model, **cfg)))


@pytest.fixture(autouse=True)
def _the_backbone_is_the_model(monkeypatch):
    """Count the backbone alone: the counts of whole models are those of recipes, below."""
    enable()
    counted = step._trained
    monkeypatch.setattr(
        step, "_trained", lambda cfg: counted(Config(dict(model=cfg.model.backbone)))
    )


def build(backbone: dict):
    """Build a backbone for real, as a run has it in training."""
    with DefaultScope.overwrite_default_scope("mmengine"):
        net = MODELS.build(copy.deepcopy(backbone))
    net.train()
    return net


@pytest.mark.parametrize("name", BACKBONES)
def test_all_freezes_the_whole_backbone(name):
    backbone, most = BACKBONES[name]
    done = set_freeze(plan("all", backbone))
    assert done.config.model.backbone.frozen_stages == most
    net = build(done.config.model.backbone)
    assert not any(p.requires_grad for p in net.parameters())
    assert not any(m.training for m in net.modules() if is_norm(m))
    assert done.notes[0].startswith("`freeze='all'`: 0 of ")


@pytest.mark.parametrize("name", sorted(set(BACKBONES) - {"three of ours"}))  # which takes a fourth
def test_a_stage_too_many_is_refused_with_the_range(name):
    backbone, most = BACKBONES[name]
    least = 0 if name == "no -1" else -1
    with pytest.raises(ValueError) as error:
        set_freeze(plan(most + 1, backbone))
    assert str(error.value) == (
        f"`freeze={most + 1}`: the backbone {backbone['type']} takes {least} to {most}, or 'all' "
        f"for {most}"
    )


@pytest.mark.parametrize("stages", [-1, 0, 1, 3])
@pytest.mark.parametrize("backbone", [OURS, RESNET, SWIN], ids=["ours", "resnet", "swin"])
def test_the_count_is_that_of_the_network(backbone, stages):
    done = set_freeze(plan(stages, backbone))
    net = build(dict(backbone, frozen_stages=stages))
    trained = sum(p.numel() for p in net.parameters() if p.requires_grad)
    total = sum(p.numel() for p in net.parameters())
    assert done.notes[0] == f"`freeze={stages}`: {trained:,} of {total:,} parameters train"


def test_what_no_stage_holds_is_told():
    done = set_freeze(plan("all", dict(type="mmdet.MobileNetV2")))
    net = build(done.config.model.backbone)
    left = sum(p.numel() for p in net.parameters() if p.requires_grad)
    assert left > 0
    assert done.notes[1] == (
        f"`freeze='all'`: {left:,} of them in the backbone, which freezes no more than 7 stages"
    )


def test_random_stages_are_told():
    told = "`freeze=0`: the frozen stages have no weights and stay random"
    assert told in set_freeze(plan(0, OURS)).notes
    init_cfg = dict(type="Pretrained", checkpoint="a.pth")
    assert told not in set_freeze(plan(0, dict(OURS, init_cfg=init_cfg))).notes
    assert told not in set_freeze(plan(0, OURS, load_from="a.pth")).notes
    assert told.replace("0", "-1") not in set_freeze(plan(-1, OURS)).notes


def test_the_detector_inside_another_model(monkeypatch):
    model = dict(type="SoftTeacher", detector=dict(type="Detector", backbone=OURS))
    monkeypatch.setattr(step, "_trained", lambda cfg: "")
    done = set_freeze(Plan(RunOptions("a.py", freeze=1), Config(dict(model=model))))
    assert done.config.model.detector.backbone.frozen_stages == 1


@pytest.mark.parametrize(
    ("freeze", "backbone", "message"),
    [
        (1, dict(type="mmdet.HRNet", extra={}), "`freeze`: the backbone mmdet.HRNet has no frozen"),
        ("half", OURS, "`freeze` is a number of stages or 'all', got 'half'"),
        (True, OURS, "`freeze` is a number of stages or 'all', got True"),
        (-2, OURS, "`freeze=-2`: the backbone ConvNeXt takes -1 to 4"),
        (
            "all",
            dict(type="mmseg.TIMMBackbone"),
            "`freeze`: the backbone mmseg.TIMMBackbone has no frozen",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_frozen_is_refused(freeze, backbone, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        set_freeze(plan(freeze, backbone))


def test_a_model_without_a_backbone_is_refused():
    asked = Plan(RunOptions("a.py", freeze=1), Config(dict(model=dict(type="X"))))
    with pytest.raises(ValueError, match=r"^`freeze`: the model X has no key backbone$"):
        set_freeze(asked)
