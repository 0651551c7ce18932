"""The table of published scales is written down by hand from the published configs."""

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS, DefaultScope
from torch import nn

from convnext_dense import ConvNeXt
from convnext_dense.registry import class_of
from convnext_dense.training import ConvNeXtOptimWrapperConstructor

LR, DECAY = 1e-4, 0.05
# The thirteen recipes: arch, decay type, decay, published num_layers.
RECIPES = [
    ("tiny", "layer_wise", 0.95, 6),  # Mask R-CNN T
    ("tiny", "layer_wise", 0.7, 6),  # Cascade T
    ("small", "layer_wise", 0.7, 12),
    ("base", "layer_wise", 0.8, 12),  # IN-1K
    ("base", "layer_wise", 0.8, 12),  # IN-22K
    ("large", "layer_wise", 0.7, 12),
    ("xlarge", "layer_wise", 0.7, 12),
    ("tiny", "stage_wise", 0.9, 6),  # UperNet T
    ("small", "stage_wise", 0.9, 12),
    ("base", "stage_wise", 0.9, 12),  # IN-1K
    ("base", "stage_wise", 0.9, 12),  # IN-22K
    ("large", "stage_wise", 0.9, 12),
    ("xlarge", "stage_wise", 0.9, 12),
]
STAGE_WISE = {
    6: (0.478, 0.531, 0.590, 0.656, 0.729),
    12: (0.254, 0.282, 0.314, 0.349, 0.387),
}
SKELETON = {}


def skeleton(arch):
    """A backbone of the arch's depths and names, thin enough to build at once."""
    if arch not in SKELETON:
        depths = {"tiny": (3, 3, 9, 3), "atto": (2, 2, 6, 2), "nano": (2, 2, 8, 2)}
        depths = depths.get(arch, (3, 3, 27, 3))
        SKELETON[arch] = ConvNeXt(dict(depths=depths, channels=(2, 2, 2, 2)))
    return SKELETON[arch]


class Detector(nn.Module):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone
        self.neck = nn.Conv2d(2, 4, 1)
        self.head = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.GroupNorm(2, 4))
        self.table = nn.Parameter(torch.zeros(3, 2))


def build(model, optimizer=None, **paramwise):
    return build_optim_wrapper(
        model,
        dict(
            type="OptimWrapper",
            optimizer=optimizer or dict(type="AdamW", lr=LR, weight_decay=DECAY),
            constructor="ConvNeXtOptimWrapperConstructor",
            paramwise_cfg=paramwise,
        ),
    )


def settings(model, **paramwise):
    """Return {parameter name: (scale of the learning rate, weight decay)}."""
    groups = build(model, **paramwise).optimizer.param_groups
    by_id = {id(p): g for g in groups for p in g["params"]}
    named = {n: by_id[id(p)] for n, p in model.named_parameters() if p.requires_grad}
    return {name: (g["lr"] / LR, g["weight_decay"]) for name, g in named.items()}


def published_layer(name, layers):
    """Published num_layers' ids, for depths (3, 3, 9, 3) and (3, 3, 27, 3)."""
    part, stage, block, *_ = [*name.split("."), "0", "0"]
    if part.startswith("norm"):
        return layers + 1
    if part == "downsample_layers":
        return {"0": 0, "1": 2, "2": 3, "3": layers}[stage]
    return {"0": 1, "1": 2, "2": 3 + int(block) // 3, "3": layers}[stage]


@pytest.mark.parametrize(("arch", "kind", "decay", "layers"), RECIPES)
def test_published_scales(arch, kind, decay, layers):
    model = Detector(skeleton(arch))
    scales = settings(model, decay_rate=decay, decay_type=kind)
    for name, (scale, _) in scales.items():
        if not name.startswith("backbone."):
            assert scale == 1, name
            continue
        inner = name.removeprefix("backbone.")
        if kind == "layer_wise":
            expected = decay ** (layers + 1 - published_layer(inner, layers))
            assert scale == pytest.approx(expected), name
        else:
            part, stage = inner.split(".")[:2]
            lowest, *of_stages = STAGE_WISE[layers]
            expected = {"downsample_layers": lowest}.get(part, 1)
            if part == "stages":
                expected = of_stages[int(stage)]
            assert scale == pytest.approx(expected, abs=5e-4), name


def test_published_scales_of_cascade_t_as_numbers():
    scales = settings(Detector(skeleton("tiny")), decay_rate=0.7, decay_type="layer_wise")
    expected = {
        "downsample_layers.0.0.weight": 0.0823543,
        "stages.0.2.norm.weight": 0.117649,
        "downsample_layers.1.1.weight": 0.16807,
        "stages.1.0.gamma": 0.16807,
        "downsample_layers.2.0.bias": 0.2401,
        "stages.2.2.pwconv1.weight": 0.2401,
        "stages.2.3.pwconv1.weight": 0.343,
        "stages.2.8.pwconv2.bias": 0.49,
        "downsample_layers.3.1.weight": 0.7,
        "stages.3.2.dwconv.weight": 0.7,
        "norm3.weight": 1,
    }
    assert {n: scales[f"backbone.{n}"][0] for n in expected} == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["layer_wise", "stage_wise"])
@pytest.mark.parametrize("arch", ["atto", "nano"])
def test_shallower_backbones_have_no_scale_above_1_and_rise_with_depth(arch, kind):
    scales = settings(skeleton(arch), decay_rate=0.5, decay_type=kind)
    stages = [scales[f"stages.{s}.0.dwconv.weight"][0] for s in range(4)]
    assert stages == sorted(set(stages))
    assert max(scale for scale, _ in scales.values()) == 1
    assert stages[-1] < 1


def test_exempts_by_what_a_parameter_is():
    backbone = ConvNeXt(dict(depths=(1, 1, 1, 1), channels=(2, 2, 2, 2), grn=True))
    v1 = Detector(skeleton("tiny"))
    for model in (Detector(backbone), v1):
        decays = {
            n: wd for n, (_, wd) in settings(model, decay_rate=1.0, decay_type="stage_wise").items()
        }
        assert {n for n, wd in decays.items() if wd} == {
            n for n, p in model.named_parameters() if p.ndim > 1
        }
        assert set(decays.values()) == {0, DECAY}
    assert decays["backbone.stages.2.4.gamma"] == decays["head.1.weight"] == 0
    # As the first published V2 files have them: GRN is exempt whatever its shape.
    grn = backbone.stages[0][0].grn
    grn.gamma = nn.Parameter(torch.zeros(1, 1, 1, 8))
    decays = settings(backbone, decay_rate=1.0, decay_type="stage_wise")
    assert decays["stages.0.0.grn.gamma"][1] == decays["stages.0.0.grn.beta"][1] == 0


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ("norm_decay_mult", "backbone.norm3.bias"),
        ("bias_decay_mult", "neck.bias"),
        ("flat_decay_mult", "backbone.stages.2.4.gamma"),
    ],
)
def test_a_decay_mult_concerns_its_kind_alone(option, name):
    model = Detector(skeleton("tiny"))
    base = settings(model, decay_rate=0.9, decay_type="layer_wise")
    ours = settings(model, decay_rate=0.9, decay_type="layer_wise", **{option: 0.5})
    assert ours[name][1] == DECAY / 2
    changed = {n for n in base if base[n] != ours[n]}
    assert name in changed
    assert all(base[n][1] == 0 for n in changed)
    assert (
        sum(
            n.endswith("norm3.bias") or n in ("neck.bias", "backbone.stages.2.4.gamma")
            for n in changed
        )
        == 1
    )


def test_custom_keys_multiply_and_the_longest_wins():
    model = Detector(skeleton("tiny"))
    keys = {
        "backbone": dict(lr_mult=0.1),
        "backbone.stages.3": dict(lr_mult=0.5, decay_mult=2.0),
        "head": dict(decay_mult=0.0),
    }
    ours = settings(model, decay_rate=0.7, decay_type="layer_wise", custom_keys=keys)
    assert ours["backbone.stages.0.0.dwconv.weight"] == pytest.approx((0.117649 * 0.1, DECAY))
    assert ours["backbone.stages.3.0.dwconv.weight"] == pytest.approx((0.7 * 0.5, DECAY * 2))
    assert ours["backbone.stages.3.0.dwconv.bias"] == pytest.approx((0.7 * 0.5, 0))
    assert ours["head.0.weight"] == (1, 0)
    assert ours["neck.weight"] == (1, DECAY)


def test_every_trainable_parameter_is_in_one_group_and_groups_are_few():
    model = Detector(skeleton("tiny"))
    model.shared = model.neck
    model.tied = nn.Linear(1, 1)
    model.tied.weight = model.neck.weight
    model.backbone.downsample_layers[0].requires_grad_(False)
    try:
        groups = build(model, decay_rate=0.7, decay_type="layer_wise").optimizer.param_groups
        ids = [id(p) for g in groups for p in g["params"]]
        assert sorted(ids) == sorted(id(p) for p in model.parameters() if p.requires_grad)
        # OptimWrapper appends one without parameters of its own, to log the base learning rate.
        names = [g["name"] for g in groups]
        assert len(names) == len(set(names)) <= 2 * 8
        assert [n for n in names if "layer 0" in n] == []
    finally:
        model.backbone.downsample_layers[0].requires_grad_(True)


@pytest.mark.parametrize("wrap", ["bare", "nested", "module"])
def test_finds_the_backbone_wherever_it_stands(wrap):
    model = skeleton("tiny")
    if wrap == "nested":
        model = nn.ModuleDict(dict(student=Detector(model), other=nn.Linear(1, 1)))
    elif wrap == "module":
        model = nn.DataParallel(Detector(model))
    ours = settings(model, decay_rate=0.7, decay_type="layer_wise")
    name = next(n for n in ours if n.endswith("downsample_layers.0.0.weight"))
    assert ours[name][0] == pytest.approx(0.7**7)


def test_num_layers_that_exceeds_the_backbones_lowers_every_scale():
    options = dict(decay_rate=0.7, decay_type="layer_wise")
    base = settings(skeleton("tiny"), **options)
    lower = settings(skeleton("tiny"), num_layers=8, **options)
    assert lower["stages.3.0.gamma"][0] == pytest.approx(base["stages.3.0.gamma"][0] * 0.49)
    assert lower["norm3.weight"][0] == 1


def test_num_layers_that_pushes_a_scale_above_1_is_refused():
    with pytest.raises(ValueError, match=r"num_layers=6 .*give backbone\..*has 12 layers"):
        build(Detector(skeleton("small")), decay_rate=0.7, decay_type="layer_wise", num_layers=6)


GOOD = dict(decay_rate=0.7, decay_type="layer_wise")


@pytest.mark.parametrize(
    ("paramwise", "says"),
    [
        (dict(decay_type="layer_wise"), "needs decay_rate"),
        (dict(decay_rate=0.7), "needs decay_type"),
        (dict(GOOD, decay_rate=0), "above 0 and at most 1, got 0"),
        (dict(GOOD, decay_rate=1.5), "above 0 and at most 1, got 1.5"),
        (dict(GOOD, decay_type="layerwise"), "layer_wise, stage_wise, got 'layerwise'"),
        (dict(GOOD, num_layers=0), "num_layers is at least 1, got 0"),
        (dict(GOOD, layer_decay=0.7), "accepts decay_rate, .*, not 'layer_decay'"),
        (dict(GOOD, custom_keys=dict(head=dict(lr=1))), "lr_mult, decay_mult, not 'lr'"),
        (dict(GOOD, custom_keys=dict(head=0.1)), r"custom_keys\['head'\] is a dict, got 0.1"),
    ],
)
def test_bad_options_are_refused_with_the_right_ones(paramwise, says):
    with pytest.raises(ValueError, match=says):
        build(skeleton("tiny"), **paramwise)


@pytest.mark.parametrize("missing", ["lr", "weight_decay"])
def test_an_optimizer_without_lr_or_weight_decay_is_refused(missing):
    optimizer = dict(type="SGD", lr=0.1, weight_decay=0.0)
    del optimizer[missing]
    with pytest.raises(ValueError, match=f"must state {missing}"):
        build(skeleton("tiny"), optimizer=optimizer, **GOOD)


def test_a_model_without_a_convnext_is_refused_naming_its_backbone():
    with pytest.raises(ValueError, match="Detector's backbone is Linear"):
        build(Detector(nn.Linear(1, 1)), **GOOD)


def test_logs_one_table(tmp_path):
    logger = MMLogger.get_instance("groups", log_file=str(tmp_path / "log.txt"), log_level="INFO")
    build(Detector(skeleton("tiny")), custom_keys={"neck": dict(lr_mult=2.0)}, **GOOD)
    for handler in logger.handlers:
        handler.flush()
    text = (tmp_path / "log.txt").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    rows = [row for row in rows if row]
    assert rows[0] == ["group", "tensors", "parameters", "lr", "weight decay"]
    # The stem: a 3 -> 2 convolution of 4 x 4, its bias, and a norm.
    assert ["backbone layer 0", "1", "96", "8.235e-06", "0.05"] in rows
    assert ["backbone layer 0, no decay", "3", "6", "8.235e-06", "0"] in rows
    assert ["rest of the model, 'neck'", "1", "8", "0.0002", "0.05"] in rows
    assert len(rows) == len({row[0] for row in rows}) < 25


def test_warns_of_a_custom_key_that_matches_nothing(tmp_path):
    logger = MMLogger.get_instance("unmatched", log_file=str(tmp_path / "log.txt"))
    build(skeleton("tiny"), custom_keys={"absolute_pos_embed": dict(decay_mult=0.0)}, **GOOD)
    for handler in logger.handlers:
        handler.flush()
    text = (tmp_path / "log.txt").read_text()
    assert "custom_keys['absolute_pos_embed'] applies to no trainable parameter" in text


def test_builds_in_the_scopes_of_the_stack():
    for scope in ("mmengine", "mmdet", "convnext_dense"):
        with DefaultScope.overwrite_default_scope(scope):
            assert OPTIM_WRAPPER_CONSTRUCTORS.get("ConvNeXtOptimWrapperConstructor")
    named = OPTIM_WRAPPER_CONSTRUCTORS.get("convnext_dense.ConvNeXtOptimWrapperConstructor")
    assert class_of(named) is ConvNeXtOptimWrapperConstructor
