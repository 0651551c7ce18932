"""Set the optimizer of a swapped config.

``keep`` leaves optimizer and schedule unchanged; only keys that name parts of the old backbone are
translated to the new one, or removed.

``convnext`` sets the published optimizer: AdamW, betas (0.9, 0.999), weight decay 0.05, and for
detectors lr 2e-4 with a layer-wise decay of 0.7 (Cascade Mask R-CNN T and S), for segmenters lr
1e-4 with a stage-wise decay of 0.9 (UperNet), all at a batch of 16. Another batch B, as the
config's ``auto_scale_lr.base_batch_size`` states it, scales the rate by sqrt(B / 16), the rule for
adaptive optimizers (arXiv 2205.10287). Schedule, precision, accumulation and clipping stay.

The layers of an isotropic backbone are its blocks, for which no such recipe is published: both
kinds of model get a layer-wise decay of 0.9 for it, as ViTDet-H and BEiT-B under UperNet. It is 0.7
for three blocks.
"""

from __future__ import annotations

import math

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from convnext_dense.backbone.roadmap import FIRST
from convnext_dense.swap.edits import Edits
from convnext_dense.swap.model import Model
from convnext_dense.swap.new_backbone import NewBackbone
from convnext_dense.swap.probe import build

CONSTRUCTOR = "ConvNeXtOptimWrapperConstructor"
PUBLISHED_BATCH = 16
PUBLISHED = {
    "mmdet": (2e-4, dict(decay_rate=0.7, decay_type="layer_wise")),
    "mmseg": (1e-4, dict(decay_rate=0.9, decay_type="stage_wise")),
}
ISOTROPIC_DECAY = dict(decay_rate=0.9, decay_type="layer_wise")
# Constructors of mmdet and mmseg that work only for certain class names and numbers of layers.
UPSTREAM_LAYER_DECAY = (
    "LearningRateDecayOptimizerConstructor",
    "LayerDecayOptimizerConstructor",
)
OUR_MULTS = ("norm_decay_mult", "bias_decay_mult", "flat_decay_mult")
# Parts of transformers that recipes name even for models without them.
OF_TRANSFORMERS = ("absolute_pos_embed", "relative_position_bias_table")
# Ten times the published rate.
HIGH_LR = 1e-3
PREFIX = "backbone."


def apply_recipe(model: Model, recipe: str, new: NewBackbone) -> None:
    """Apply a recipe to a config's ``optim_wrapper``, if it has one.

    Args:
        model: The model, which has its new backbone.
        recipe: ``keep`` or ``convnext``.
        new: The new backbone.
    """
    edits = model.edits
    wrapper = edits.cfg.get("optim_wrapper")
    if not wrapper:
        return
    _translate_keys(model, wrapper)
    if recipe == "convnext":
        _set_published(edits, wrapper, model.scope, new)
        return
    _translate_constructor(edits, wrapper)
    optimizer = wrapper.get("optimizer", {})
    kind, lr = optimizer.get("type"), optimizer.get("lr")
    if new.cfg.get("step") == FIRST:
        return  # what trains a ResNet is known to
    if kind == "SGD" or (kind in ("Adam", "AdamW") and lr and lr > HIGH_LR):
        edits.warn(
            f"{kind} at lr={lr} is kept, which is not known to train a ConvNeXt: the published "
            "recipes use AdamW at 1e-4 to 2e-4 with layer decay, as recipe 'convnext' sets it"
        )


def _set_published(edits: Edits, wrapper: dict, scope: str, new: NewBackbone) -> None:
    lr, decay = PUBLISHED.get(scope, PUBLISHED["mmdet"])
    if new.is_isotropic:
        decay = ISOTROPIC_DECAY
    batch = (edits.cfg.get("auto_scale_lr") or {}).get("base_batch_size")
    why = "the published recipe"
    if not batch:
        batch = PUBLISHED_BATCH
        edits.set("", edits.cfg, "auto_scale_lr", dict(enable=False, base_batch_size=batch), why)
    elif batch != PUBLISHED_BATCH:
        why += f", lr times sqrt({batch} / {PUBLISHED_BATCH}) for the batch"
    optimizer = dict(
        type="AdamW",
        lr=float(f"{lr * math.sqrt(batch / PUBLISHED_BATCH):.3g}"),
        betas=(0.9, 0.999),
        weight_decay=0.05,
    )
    edits.set("optim_wrapper", wrapper, "optimizer", optimizer, why)
    edits.set("optim_wrapper", wrapper, "constructor", CONSTRUCTOR, why)
    custom = (wrapper.get("paramwise_cfg") or {}).get("custom_keys") or {}
    kept = {key: value for key, value in custom.items() if not key.startswith("backbone")}
    paramwise = {**decay, **({"custom_keys": kept} if kept else {})}
    if new.is_isotropic:
        why = "a layer for each block, as in ViTDet-H and BEiT-B"
    edits.set("optim_wrapper", wrapper, "paramwise_cfg", paramwise, why)


def _translate_constructor(edits: Edits, wrapper: dict) -> None:
    constructor = str(wrapper.get("constructor", "")).rpartition(".")[2]
    if constructor not in UPSTREAM_LAYER_DECAY:
        return
    why = "layer decay by the layers that the backbone itself has"
    before = wrapper.get("paramwise_cfg") or {}
    paramwise = dict(
        decay_rate=before.get("decay_rate", before.get("layer_decay_rate")),
        decay_type=before.get("decay_type", "layer_wise"),
    )
    paramwise |= {k: before[k] for k in (*OUR_MULTS, "custom_keys") if k in before}
    edits.set("optim_wrapper", wrapper, "constructor", CONSTRUCTOR, why)
    edits.set("optim_wrapper", wrapper, "paramwise_cfg", paramwise, why)


def _translate_keys(model: Model, wrapper: dict) -> None:
    """Keep custom keys that name parts of the new model, translate those of norms, drop others."""
    paramwise = wrapper.get("paramwise_cfg") or {}
    custom = paramwise.get("custom_keys")
    if not custom:
        return
    net = build({**model.part["backbone"], "init_cfg": None}, model.scope, "meta")
    new_names = [PREFIX + name for name, _ in net.named_parameters()]
    old_names = [PREFIX + name for name in model.old.parameters]
    dead = {
        key: value
        for key, value in custom.items()
        if key.rstrip(".") not in ("", "backbone")
        and (
            key.startswith(PREFIX)
            or key in OF_TRANSFORMERS
            or any(key in name for name in old_names)
        )
        and not any(key in name for name in new_names)
    }
    if not dead:
        return
    norms = [value for key, value in dead.items() if key.rpartition(".")[2].startswith("norm")]
    translated = {}
    if norms and all(value == norms[0] for value in norms):
        translated = {
            PREFIX + name: dict(norms[0])
            for name, module in net.named_modules()
            if isinstance(module, (nn.LayerNorm, _BatchNorm)) and PREFIX + name not in custom
        }
    kept = {key: value for key, value in custom.items() if key not in dead}
    why = f"{len(dead)} keys named parts of the old backbone" + (
        ", those of its norms now name the new norms" if translated else ""
    )
    path = "optim_wrapper.paramwise_cfg"
    model.edits.set(path, paramwise, "custom_keys", {**kept, **translated}, why)
    model.edits.warn(f"{path}.custom_keys: {why}")
