"""Wire an isotropic ConvNeXt: a simple feature pyramid makes the stages that it does not have."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal

from convnext_dense.config_tree import type_name, walk
from convnext_dense.swap.edits import Edits
from convnext_dense.swap.match_stages import DEFAULT_OUTPUT_STRIDE
from convnext_dense.swap.neck import first_neck
from convnext_dense.swap.probe import Pyramid, trace_neck
from convnext_dense.swap.wiring import Wiring, wire_model

PYRAMID = "SimpleFeaturePyramid"
# ViTDet's levels: their strides, and the channels of each where no FPN says others.
STRIDES = (4, 8, 16, 32)
CHANNELS = 256
MAP_STRIDE = 16
# What a picture is padded to before a prediction. Heads of mmseg stretch their map over the whole
# picture, so that what the stem leaves over, or pads, would move all of it.
DIVISOR = 32


def wire_isotropic(
    edits: Edits, part: dict, path: str, scope: str, old: Pyramid, width: int, mode: str
) -> Wiring:
    """Put a simple feature pyramid between the backbone's one map and what reads it.

    It takes the place of an FPN whose extra levels are pooled, as in ViTDet. Before all else it
    stands for a backbone of four stages, and necks and heads are wired to it as to any other.

    Args:
        edits: Records the changes.
        part: The dict that holds the backbone; its necks and heads are changed.
        path: Its dotted key in the config.
        scope: ``mmdet`` or ``mmseg``.
        old: The maps of the old backbone.
        width: Channels of the new backbone's one map.
        mode: ``auto``, ``native`` or ``adapter``.

    Raises:
        NeedsAdapterError: As :func:`~convnext_dense.swap.wiring.wire_model` does.
    """
    _pad_test_pictures(edits, scope)
    if part.get("neck") and mode != "adapter":
        where, neck = first_neck(part, path)
        if type_name(neck) == PYRAMID and len(old.levels) == 1:
            edits.set(where, neck, "in_channels", width, "channels of the one map")
            return _wiring("native", old.strides)
        if type_name(neck) == "FPN" and (strides := _strides_of_fpn(neck, scope, old)):
            pyramid = _pyramid(width, neck["out_channels"], strides)
            _put_in_front(edits, part, path, pyramid, _necks(part)[1:], "as ViTDet has no FPN")
            return _wiring("native", strides)
    wiring = wire_model(edits, part, path, scope, old, (CHANNELS,) * len(STRIDES), mode)
    strides = tuple(min(STRIDES[stage], wiring.output_stride) for stage in wiring.stages)
    pyramid = _pyramid(width, CHANNELS, strides)
    _put_in_front(edits, part, path, pyramid, _necks(part), "it makes the maps that are read")
    return _wiring(wiring.tier, wiring.reads)


def without_pyramid(edits: Edits, part: dict, path: str, scope: str, old: Pyramid) -> Pyramid:
    """Take the pyramid away that a backbone of stages does not need, and return its levels.

    They are then the maps to replace. A detector whose only neck it was gets an FPN.
    """
    if not part.get("neck") or type_name(first_neck(part, path)[1]) != PYRAMID:
        return old
    pyramid, *others = _necks(part)
    levels = trace_neck(pyramid, scope, old.levels).outputs
    if not others and scope == "mmdet":
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
    value = others if len(others) > 1 else others[0] if others else None
    edits.set(path, part, "neck", value, "the stages are a pyramid already")
    return replace(old, levels=levels)


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


def _necks(part: dict) -> list[dict]:
    neck = part.get("neck") or []
    return list(neck) if isinstance(neck, (list, tuple)) else [neck]


def _put_in_front(
    edits: Edits, part: dict, path: str, pyramid: dict, others: list[dict], why: str
) -> None:
    edits.set(path, part, "neck", [pyramid, *others] if others else pyramid, why)


def _strides_of_fpn(neck: dict, scope: str, old: Pyramid) -> tuple[int, ...] | None:
    """Return the strides of an FPN's outputs; None where a pyramid cannot take its place.

    Extra levels that an FPN learns have no counterpart in the pyramid.
    """
    if neck.get("add_extra_convs"):
        return None
    try:
        outputs = trace_neck(neck, scope, old.levels).outputs
    except Exception:  # the wiring will say what is wrong with it
        return None
    strides = tuple(level.stride for level in outputs)
    follows = all(2 * a == b for a, b in pairwise(strides))
    reaches_the_last = STRIDES[-1] in strides or len(strides) == sum(s in STRIDES for s in strides)
    return strides if follows and strides[0] in STRIDES and reaches_the_last else None


def _pad_test_pictures(edits: Edits, scope: str) -> None:
    if scope != "mmseg":
        return
    for path, node in walk(edits.cfg):
        if path.rpartition(".")[2] == "data_preprocessor" and not node.get("test_cfg"):
            why = "maps of stride 16 cover whole pictures of these sizes alone"
            edits.set(path, node, "test_cfg", dict(size_divisor=DIVISOR), why)
