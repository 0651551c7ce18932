"""Whole models of mmdet 2.x and mmseg 0.x: their heads' names are today's, their backbone's not."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

import convnext_dense  # noqa: F401  first, since it makes mmdet importable
from convnext_dense.checkpoints.whole_model import parameters_for_model

from ..configs import load

pytestmark = pytest.mark.slow

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def plain(*modules):
    return {f"{module}.{parameter}" for module in modules for parameter in ("weight", "bias")}


def normed(*modules):
    """A convolution without bias and its batch norm, as mmcv's ConvModule names them."""
    return {f"{m}.conv.weight" for m in modules} | {f"{m}.bn.{p}" for m in modules for p in NORM}


# Spelt out from mmdet 2.x and mmseg 0.x.
FPN = plain(*(f"neck.{kind}_convs.{i}.conv" for kind in ("lateral", "fpn") for i in range(4)))
RPN = plain("rpn_head.rpn_conv", "rpn_head.rpn_cls", "rpn_head.rpn_reg")


def mask_head(at):
    return plain(*(f"{at}.convs.{i}.conv" for i in range(4)), f"{at}.upsample", f"{at}.conv_logits")


def box_head(at, shared):
    return plain(f"{at}.fc_cls", f"{at}.fc_reg", *(f"{at}.shared_fcs.{i}" for i in range(shared)))


MASK_RCNN = FPN | RPN | box_head("roi_head.bbox_head", 2) | mask_head("roi_head.mask_head")
CASCADE = FPN | RPN
for i in range(3):
    CASCADE |= box_head(f"roi_head.bbox_head.{i}", 1) | mask_head(f"roi_head.mask_head.{i}")
    CASCADE |= normed(*(f"roi_head.bbox_head.{i}.shared_convs.{j}" for j in range(4)))
UPERNET = (
    plain("decode_head.conv_seg", "auxiliary_head.conv_seg")
    | normed(*(f"decode_head.psp_modules.{i}.1" for i in range(4)))
    | normed(*(f"decode_head.{kind}_convs.{i}" for kind in ("lateral", "fpn") for i in range(3)))
    | normed("decode_head.bottleneck", "decode_head.fpn_bottleneck", "auxiliary_head.convs.0")
)


def build(recipe, **backbone):
    from mmengine.registry import MODELS, init_default_scope

    cfg = load(f"{recipe}.py")
    cfg.model.backbone.init_cfg = None
    cfg.model.backbone.update(backbone)
    init_default_scope(cfg.default_scope)
    with torch.device("meta"):
        return MODELS.build(cfg.model)


@pytest.mark.parametrize(
    ("recipe", "heads"),
    [
        ("det/mask_rcnn_convnext_t_coco", MASK_RCNN),
        ("det/cascade_convnext_t_coco", CASCADE),
        ("seg/upernet_convnext_t_ade20k", UPERNET),
    ],
)
def test_the_heads_of_the_recipes_are_called_as_in_the_old_files(recipe, heads):
    state = build(recipe).state_dict()
    assert {name for name in state if not name.startswith("backbone.")} == heads


@pytest.mark.parametrize("names", ["meta", "mmpretrain"])
def test_the_backbone_is_renamed_and_then_compared(names):
    model = build("seg/upernet_convnext_t_ade20k", arch="v2_atto")
    own = model.state_dict()
    state = {}
    for name, value in own.items():
        if name.startswith("backbone.") and names == "mmpretrain":
            name = name.replace("dwconv", "depthwise_conv").replace("pwconv", "pointwise_conv")
        elif ".grn." in name:
            value = value.reshape(1, 1, 1, -1)
        state[f"module.{name}"] = value
    state["ema_decode_head_conv_seg_weight"] = torch.ones(1)
    fitting = parameters_for_model(
        model, dict(state_dict=state, meta=dict(CLASSES=("a",))), "old.pth"
    )
    shapes = {name: value.shape for name, value in fitting.items()}
    assert shapes == {name: value.shape for name, value in own.items()}

    strange = state | {"module.backbone.stages.0.0.extra": torch.ones(1)}
    with pytest.raises(RuntimeError, match=r"1 not in the model \(backbone\.stages\.0\.0\.extra\)"):
        parameters_for_model(model, dict(state_dict=strange), "old.pth")
    del state["module.backbone.norm2.weight"]
    with pytest.raises(RuntimeError, match=r"old\.pth .*1 missing \(backbone\.norm2\.weight\)"):
        parameters_for_model(model, dict(state_dict=state), "old.pth")


# OpenMMLab's configs of the same recipes, in the installed mmdet and mmseg.
CONVNEXT = "mmdet::convnext/{}-p4-w7_fpn_{}amp-ms-crop-3x_coco.py"
UPERNET_CONFIG = "mmseg::convnext/convnext-{}_upernet_8xb2-amp-160k_ade20k-{}.py"
OF_OPENMMLAB = {
    "det/mask_rcnn_convnext_t_coco": CONVNEXT.format("mask-rcnn_convnext-t", ""),
    "det/cascade_convnext_t_coco": CONVNEXT.format(
        "cascade-mask-rcnn_convnext-t", "4conv1fc-giou_"
    ),
    "det/cascade_convnext_s_coco": CONVNEXT.format(
        "cascade-mask-rcnn_convnext-s", "4conv1fc-giou_"
    ),
    "det/rtmdet_convnext_b_in22k_coco": "mmdet::rtmdet/rtmdet_l_convnext_b_4xb32-100e_coco.py",
    "seg/upernet_convnext_t_ade20k": UPERNET_CONFIG.format("tiny", "512x512"),
    "seg/upernet_convnext_s_ade20k": UPERNET_CONFIG.format("small", "512x512"),
    "seg/upernet_convnext_b_ade20k": UPERNET_CONFIG.format("base", "512x512"),
    "seg/upernet_convnext_b_in22k_ade20k": UPERNET_CONFIG.format("base", "640x640"),
    "seg/upernet_convnext_l_in22k_ade20k": UPERNET_CONFIG.format("large", "640x640"),
    "seg/upernet_convnext_xl_in22k_ade20k": UPERNET_CONFIG.format("xlarge", "640x640"),
}


@pytest.mark.parametrize("recipe", OF_OPENMMLAB)
def test_openmmlabs_models_fit_their_recipes(recipe):
    from mmengine.registry import MODELS, init_default_scope

    package, name = OF_OPENMMLAB[recipe].split("::")
    file = Path(find_spec(package).origin).parent / ".mim/configs" / name
    theirs = Config.fromfile(file, import_custom_modules=False)  # mmpretrain's backbone
    assert theirs.model.backbone.type == "mmpretrain.ConvNeXt"
    kept = ("arch", "out_indices", "drop_path_rate", "layer_scale_init_value")
    theirs.model.backbone = dict(
        type="ConvNeXt", **{key: theirs.model.backbone[key] for key in kept}
    )
    init_default_scope(theirs.default_scope)
    with torch.device("meta"):
        state = MODELS.build(theirs.model).state_dict()
    state = {
        name.replace("dwconv", "depthwise_conv").replace("pwconv", "pointwise_conv"): value
        for name, value in state.items()
    }
    model = build(recipe)
    fitting = parameters_for_model(model, dict(state_dict=state, meta={}), "openmmlab.pth")
    assert {name: value.shape for name, value in fitting.items()} == {
        name: value.shape for name, value in model.state_dict().items()
    }


def test_a_run_is_resumed_as_what_it_was():
    # The optimizer's state is by the order of the parameters.
    model = build("seg/upernet_convnext_t_ade20k", arch="v2_atto")
    state = {n.replace("dwconv", "depthwise_conv"): v for n, v in model.state_dict().items()}
    with pytest.raises(RuntimeError, match=r"a\.pth does not fit this model"):
        parameters_for_model(model, dict(state_dict=state), "a.pth", resume=True)
