"""Wire an isotropic ConvNeXt: a simple feature pyramid makes the stages that it does not have."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal

from convnext_dense.config_tree import type_name, walk
from convnext_dense.swap.match_stages import DEFAULT_OUTPUT_STRIDE
from convnext_dense.swap.model import Model
from convnext_dense.swap.probe import trace_neck
from convnext_dense.swap.wiring import Wiring, wire_model

PYRAMID = "SimpleFeaturePyramid"
# ViTDet's levels: their strides, and the channels of each where no FPN says others.
STRIDES = (4, 8, 16, 32)
CHANNELS = 256
MAP_STRIDE = 16
# What a picture is padded to before a prediction. Heads of mmseg stretch their map over the whole
# picture, so that what the stem leaves over, or pads, would move all of it.
DIVISOR = 32


def wire_isotropic(model: Model, mode: str) -> Wiring:
    """Put a simple feature pyramid between the backbone's one map and what reads it.

    It takes the place of an FPN whose extra levels are pooled, as in ViTDet. Before all else it
    stands for a backbone of four stages, and necks and heads are wired to it as to any other.

    Args:
        model: The model, whose new backbone has one width.
        mode: ``auto``, ``native`` or ``adapter``.

    Raises:
        NeedsAdapterError: As :func:`~convnext_dense.swap.wiring.wire_model` does.
    """
    (width,) = model.widths
    _pad_test_pictures(model)
    if model.necks and mode != "adapter":
        where, neck = model.first_neck
        if type_name(neck) == PYRAMID and len(model.old.levels) == 1:
            model.edits.set(where, neck, "in_channels", width, "channels of the one map")
            return _wiring("native", model.old.strides)
        if type_name(neck) == "FPN" and (strides := _strides_of_fpn(model)):
            pyramid = _pyramid(width, neck["out_channels"], strides)
            model.set_necks([pyramid, *model.necks[1:]], "as ViTDet has no FPN")
            return _wiring("native", strides)
    wiring = wire_model(replace(model, widths=(CHANNELS,) * len(STRIDES)), mode)
    strides = tuple(min(STRIDES[stage], wiring.output_stride) for stage in wiring.stages)
    pyramid = _pyramid(width, CHANNELS, strides)
    model.set_necks([pyramid, *model.necks], "it makes the maps that are read")
    return _wiring(wiring.tier, wiring.reads)


def without_pyramid(model: Model) -> Model:
    """Take the pyramid away that a backbone of stages does not need.

    Its levels are then the maps to replace. A detector whose only neck it was gets an FPN.
    """
    if not model.necks or type_name(model.necks[0]) != PYRAMID:
        return model
    pyramid, *others = model.necks
    levels = trace_neck(pyramid, model.scope, model.old.levels).outputs
    if not others and model.scope == "mmdet":
        built = tuple(level for level in levels if level.stride <= STRIDES[-1])
        others = [
            dict(
                type="FPN",
                in_channels=[level.channels for level in built],
                out_channels=pyramid["out_channels"],
                num_outs=len(levels),
            )
        ]
        levels = built
    model.set_necks(others, "the stages are a pyramid already")
    return replace(model, old=replace(model.old, levels=levels))


def _wiring(tier: Literal["native", "adapter"], reads: tuple[int, ...]) -> Wiring:
    return Wiring(tier, stages=(0,), output_stride=DEFAULT_OUTPUT_STRIDE, reads=reads)


def _pyramid(in_channels: int, out_channels: int, strides: tuple[int, ...]) -> dict[str, Any]:
    """Return the config of a pyramid; strides beyond ViTDet's are pooled."""
    factors = tuple(MAP_STRIDE / stride for stride in strides if stride <= STRIDES[-1])
    pyramid: dict[str, Any] = dict(
        type=PYRAMID, in_channels=in_channels, out_channels=out_channels, num_outs=len(strides)
    )
    if factors != tuple(MAP_STRIDE / stride for stride in STRIDES):
        pyramid["scale_factors"] = factors
    return pyramid


def _strides_of_fpn(model: Model) -> tuple[int, ...] | None:
    """Return the strides of an FPN's outputs; None where a pyramid cannot take its place.

    Extra levels that an FPN learns have no counterpart in the pyramid.
    """
    _, neck = model.first_neck
    if neck.get("add_extra_convs"):
        return None
    try:
        outputs = trace_neck(neck, model.scope, model.old.levels).outputs
    except Exception:  # the wiring will say what is wrong with it
        return None
    strides = tuple(level.stride for level in outputs)
    follows = all(2 * a == b for a, b in pairwise(strides))
    reaches_the_last = STRIDES[-1] in strides or len(strides) == sum(s in STRIDES for s in strides)
    return strides if follows and strides[0] in STRIDES and reaches_the_last else None


def _pad_test_pictures(model: Model) -> None:
    if model.scope != "mmseg":
        return
    for path, node in walk(model.edits.cfg):
        if path.rpartition(".")[2] == "data_preprocessor" and not node.get("test_cfg"):
            why = "maps of stride 16 cover whole pictures of these sizes alone"
            model.edits.set(path, node, "test_cfg", dict(size_divisor=DIVISOR), why)
