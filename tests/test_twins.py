"""Swin-T and ResNet-50 under the recipes of ConvNeXt-T: only backbone and optimizer differ."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from torch import nn
from torch.optim import Optimizer

import convnext_dense  # noqa: F401
from convnext_dense.analysis.flops import Complexity, count_complexity
from convnext_dense.analysis.meta_device import build_without_data
from convnext_dense.zoo.results import PEERS

from .configs import load

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]

# Parameters (M) and FLOPs (G) of the papers, then the same counted with torch's FlopCounterMode on
# the whole model. Swin's FLOPs hold the products of attention, 3.1 on COCO and 3.3 on ADE20K.
COUNTED = {
    "det/mask_rcnn_swin_t_coco": (47_794_602, 266.5),
    "det/mask_rcnn_r50_coco": (44_396_336, 259.3),
    "det/cascade_swin_t_coco": (85_629_804, 744.8),
    "det/cascade_r50_coco": (82_231_538, 737.6),
    "seg/upernet_swin_t_ade20k": (59_941_862, 944.4),
    "seg/upernet_r50_ade20k": (66_516_108, 951.3),
}
TWINS = {peer.config: (peer.params, peer.flops, *COUNTED[peer.config]) for peer in PEERS}
# The same model, or one with the same backbone, in mmdet's and mmseg's zoos.
ZOO = {
    "det/mask_rcnn_swin_t_coco": "mmdet::swin/mask-rcnn_swin-t-p4-w7_fpn_amp-ms-crop-3x_coco.py",
    "det/mask_rcnn_r50_coco": "mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py",
    "det/cascade_swin_t_coco": "mmdet::swin/mask-rcnn_swin-t-p4-w7_fpn_amp-ms-crop-3x_coco.py",
    "det/cascade_r50_coco": "mmdet::cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py",
    "seg/upernet_swin_t_ade20k": (
        "mmseg::swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py"
    ),
    "seg/upernet_r50_ade20k": "mmseg::upernet/upernet_r50_4xb4-160k_ade20k-512x512.py",
}
SAME_HEADS_IN_ZOO = [name for name in TWINS if "cascade" not in name]


def recipe(name: str) -> Config:
    return load(f"{name}.py")


@cache
def counted(name: str) -> Complexity:
    return count_complexity(load(name) if "::" in name else recipe(name))


def convnext(name: str) -> str:
    """The recipe of ConvNeXt-T that a twin goes with."""
    return name.replace("swin_t", "convnext_t").replace("r50", "convnext_t")


def test_every_other_recipe_is_a_twin():
    files = {
        f"{path.parent.name}/{path.stem}" for path in (ROOT / "configs").glob("[ds]e[tg]/*.py")
    }
    assert {name for name in files if "convnext" not in name} == TWINS.keys()


@pytest.mark.parametrize("name", TWINS)
def test_parameters_and_flops(name):
    published_parameters, published_flops, parameters, flops = TWINS[name]
    twin = counted(name)
    assert twin.parameters == parameters
    assert twin.flops / 1e9 == pytest.approx(flops, rel=1e-3)
    if published_parameters:
        assert round(twin.parameters / 1e6) == published_parameters
    if published_flops:
        assert twin.flops / 1e9 == pytest.approx(published_flops, rel=3e-3)


@pytest.mark.parametrize("name", SAME_HEADS_IN_ZOO)
def test_the_zoo_has_the_same_model(name):
    twin, zoo = counted(name), counted(ZOO[name])
    assert (twin.parameters, twin.flops) == (zoo.parameters, zoo.flops)


@pytest.mark.parametrize("backbone", ["swin_t", "r50"])
def test_cascade_heads_weigh_the_same_under_every_backbone(backbone):
    def heads(of: str) -> tuple[int, int]:
        cascade, mask = counted(f"det/cascade_{of}_coco"), counted(f"det/mask_rcnn_{of}_coco")
        return cascade.parameters - mask.parameters, cascade.flops - mask.flops

    assert heads(backbone) == heads("convnext_t")


@pytest.mark.parametrize("name", TWINS)
def test_heads_data_and_schedule_are_those_of_convnext(name):
    base = recipe(convnext(name))
    ours, theirs = recipe(name).to_dict(), base.to_dict()
    for cfg in (ours, theirs):
        wrapper, model = cfg["optim_wrapper"], cfg["model"]
        for key in ("constructor", "optimizer", "paramwise_cfg"):
            del wrapper[key]
        del model["backbone"]
        for part in ("neck", "decode_head", "auxiliary_head"):
            model.get(part, {}).pop("in_channels", None)
    # A base file's own variables stay in a config, without a reader.
    assert {key: ours[key] for key in theirs} == theirs
    assert set(ours) - set(theirs) <= {"swin_t", "swin_no_decay", "resnet50"}


def described(cfg: Config) -> dict[str, tuple]:
    """Every layer of a config's backbone as it trains, and which of its parameters do."""
    backbone = build_without_data(cfg).backbone
    backbone.train()
    return {
        name: (
            str(module) if not any(module.children()) else type(module),
            module.training,
            getattr(module, "drop_prob", None),
            [parameter.requires_grad for parameter in module.parameters(recurse=False)],
        )
        for name, module in backbone.named_modules()
    }


@pytest.mark.parametrize("name", TWINS)
def test_backbone_is_the_one_of_the_zoo(name):
    cfg, zoo = recipe(name), load(ZOO[name])
    assert cfg.model.backbone.type == zoo.model.backbone.type
    assert described(cfg) == described(zoo)
    weights = zoo.model.backbone.get("init_cfg") or dict(checkpoint=zoo.model.get("pretrained"))
    # torchvision's scheme needs torchvision; mmengine has the same address under the name.
    address = weights["checkpoint"].replace(
        "torchvision://resnet50", "https://download.pytorch.org/models/resnet50-0676ba61.pth"
    )
    assert cfg.model.backbone.init_cfg == dict(type="Pretrained", checkpoint=address)


def learning(cfg: Config) -> tuple[nn.Module, Optimizer, dict[str, tuple[float, float]]]:
    """A model, its optimizer, and the rate and decay of each parameter that trains."""
    model = build_without_data(cfg)
    wrapper = build_optim_wrapper(model, {**cfg.optim_wrapper, "type": "OptimWrapper"})
    names = {parameter: name for name, parameter in model.named_parameters()}
    rates = {
        names[parameter]: (group["lr"], group["weight_decay"])
        for group in wrapper.param_groups
        for parameter in group["params"]
        if parameter.requires_grad
    }
    return model, wrapper.optimizer, rates


@pytest.mark.parametrize("name", [name for name in TWINS if "swin" in name])
def test_swin_learns_as_its_authors_have_it(name):
    cfg, zoo = recipe(name).optim_wrapper, load(ZOO[name]).optim_wrapper
    assert cfg.optimizer == {k: v for k, v in zoo.optimizer.items() if k != "_delete_"}
    assert cfg.paramwise_cfg == zoo.paramwise_cfg
    _, optimizer, rates = learning(recipe(name))
    rate, decay = cfg.optimizer.lr, cfg.optimizer.weight_decay
    assert type(optimizer).__name__ == "AdamW" and optimizer.defaults["betas"] == (0.9, 0.999)
    spared = {parameter for parameter, (_, wd) in rates.items() if wd == 0}
    assert spared == {n for n in rates if "norm" in n or "relative_position_bias_table" in n}
    assert len([n for n in spared if "bias_table" in n]) == 12
    assert {rates[n] for n in spared} == {(rate, 0.0)}
    assert {rates[n] for n in rates.keys() - spared} == {(rate, decay)}


@pytest.mark.parametrize(
    ("name", "kind", "rates"),
    [
        # As Swin's, with nothing but the backbone changed.
        ("det/mask_rcnn_r50_coco", "AdamW", (1e-4, 0.05)),
        ("det/cascade_r50_coco", "AdamW", (1e-4, 0.05)),
        # As mmseg trains it.
        ("seg/upernet_r50_ade20k", "SGD", (0.01, 0.0005)),
    ],
)
def test_resnet_learns_at_one_rate(name, kind, rates):
    model, optimizer, given = learning(recipe(name))
    assert type(optimizer).__name__ == kind
    assert set(given.values()) == {rates}
    assert given.keys() == {n for n, p in model.named_parameters() if p.requires_grad}


def test_sgd_is_mmsegs():
    zoo = load(ZOO["seg/upernet_r50_ade20k"]).optim_wrapper.optimizer
    assert recipe("seg/upernet_r50_ade20k").optim_wrapper.optimizer == zoo
