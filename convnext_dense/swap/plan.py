"""Swap the backbone of a config: the functions that command lines and users call."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mmengine.config import Config

from convnext_dense.backbone.archs import Arch
from convnext_dense.config_tree import custom_modules, is_segmenter, type_name, walk
from convnext_dense.swap import MODES, RECIPES
from convnext_dense.swap.edits import Change, Edits, SwapRefusedError
from convnext_dense.swap.heads import NeedsAdapterError
from convnext_dense.swap.isotropic import wire_isotropic, without_pyramid
from convnext_dense.swap.match_stages import DEFAULT_OUTPUT_STRIDE
from convnext_dense.swap.model import Model
from convnext_dense.swap.new_backbone import NewBackbone, find_new_backbone
from convnext_dense.swap.normalisation import set_normalisation
from convnext_dense.swap.optimizer import apply_recipe
from convnext_dense.swap.other_convnexts import (
    arch_of,
    carried_arguments,
    is_convnext,
    known_pyramid,
)
from convnext_dense.swap.probe import Level, Pyramid, probe_backbone
from convnext_dense.swap.tied_methods import (
    find_swappable,
    replace_tied_parts,
    warn_of_other_backbones,
)
from convnext_dense.swap.wiring import Wiring, wire_model

# Of the backbones that configs have.
NUM_STAGES = 4
# Packages that configs import only for a backbone. The types of such backbones name them.
BACKBONE_PACKAGES = ("mmpretrain", "mmcls")


@dataclass(frozen=True)
class Swap:
    """A swapped config, and how it was made.

    Attributes:
        config: The new config.
        tier: ``native`` (the heads read ConvNeXt's stages directly, of an isotropic one the levels
            of its :class:`~convnext_dense.heads.SimpleFeaturePyramid`) or ``adapter`` (through a
            :class:`~convnext_dense.swap.adapter.PyramidAdapter`).
        changes: The keys that were set and removed, in order, each with its reason.
        warnings: What the user should know: what is lost, assumed or unlikely to train.
    """

    config: Config
    tier: Literal["native", "adapter"]
    changes: tuple[Change, ...]
    warnings: tuple[str, ...]


def swap_backbone(
    cfg: Config,
    arch: str | Mapping | Arch = "tiny",
    *,
    recipe: Literal["keep", "convnext"] = "keep",
    mode: Literal["auto", "native", "adapter"] = "auto",
    **backbone_kwargs: object,
) -> Config:
    """Replace the backbone of any detector or segmenter of mmdet or mmseg by a ConvNeXt.

    The heads read the same as before: as many maps, of the same strides, in the same order. The
    images are normalised as the new weights expect. :func:`plan_swap` also returns what was changed
    and why.

    Args:
        cfg: The config; it is not changed.
        arch: As for :class:`~convnext_dense.ConvNeXt`; ``same`` to keep the depths and widths of
            the ConvNeXt (mmpretrain's, Meta's) that the config has; or ``roadmap:STEP`` or
            ``roadmap:STEP:REGIME`` for a network on the road to it from ResNet: see
            :class:`~convnext_dense.backbone.ResNetToConvNeXt`.
        recipe: ``keep`` leaves optimizer and schedule unchanged; ``convnext`` sets AdamW with the
            published layer decay (see :mod:`convnext_dense.swap.optimizer`).
        mode: ``native`` refuses a config that needs an adapter, ``adapter`` always adds one,
            ``auto`` adds one if no stages have the strides that the heads read.
        **backbone_kwargs: Further arguments of the backbone, such as ``init_cfg``,
            ``drop_path_rate`` and ``with_cp``.

    Returns:
        A new config. What the user should know is issued as Python warnings.

    Raises:
        SwapRefusedError: If the config makes no sense with another backbone.
        ValueError: If ``arch``, ``recipe``, ``mode`` or another argument is wrong.

    Example:
        >>> from convnext_dense.config.read_config import read_config
        >>> cfg = read_config('mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py')
        >>> swap_backbone(cfg, 'nano', recipe='convnext').model.neck.in_channels
        [160, 320, 640]
    """
    swap = plan_swap(cfg, arch, recipe=recipe, mode=mode, **backbone_kwargs)
    for message in swap.warnings:
        warnings.warn(message, stacklevel=2)
    return swap.config


def plan_swap(
    cfg: Config,
    arch: str | Mapping | Arch = "tiny",
    *,
    recipe: Literal["keep", "convnext"] = "keep",
    mode: Literal["auto", "native", "adapter"] = "auto",
    **backbone_kwargs: object,
) -> Swap:
    """Swap as :func:`swap_backbone` does, and return what was changed and why."""
    _check_choice("recipe", recipe, RECIPES)
    _check_choice("mode", mode, MODES)
    edits = Edits(cfg)
    name = _name(cfg)
    path, part = find_swappable(edits.cfg.get("model"), name)
    if arch == "same":
        arch = same_arch(cfg).as_dict()
    new = find_new_backbone(arch)
    new.check(backbone_kwargs)
    scope = part.get("_scope_") or edits.cfg.get("default_scope")
    scope = scope or ("mmseg" if is_segmenter(part) else "mmdet")
    replace_tied_parts(part, path, edits)
    warn_of_other_backbones(edits.cfg["model"], path, edits)
    model = Model(edits, part, path, scope, _probe(part, path, scope, edits), new.channels)
    try:
        if new.is_isotropic:
            wiring = wire_isotropic(model, mode)
        else:
            wiring = wire_model(without_pyramid(model), mode)
    except NeedsAdapterError as reason:
        raise SwapRefusedError(f"{name} needs an adapter: {reason}") from None
    _set_backbone(model, new, wiring, backbone_kwargs)
    _drop_old_weights(model)
    init_cfg = part["backbone"].get("init_cfg") or {}
    set_normalisation(edits, str(init_cfg.get("checkpoint", "")))
    apply_recipe(model, recipe, new)
    _set_imports(edits)
    return Swap(
        config=Config(edits.cfg, filename=cfg.filename),
        tier=wiring.tier,
        changes=tuple(edits.changes),
        warnings=tuple(edits.warnings),
    )


def same_arch(cfg: Config) -> Arch:
    """Return the architecture of the ConvNeXt that a config has, which ``same`` stands for.

    Raises:
        SwapRefusedError: If the config has no backbone that can be swapped.
        ValueError: If its backbone is not a ConvNeXt.
    """
    path, part = find_swappable(cfg.get("model"), _name(cfg))
    if not is_convnext(part["backbone"]):
        raise ValueError(
            f"arch 'same' keeps the size of a ConvNeXt, but {path}.backbone is a "
            f"{type_name(part['backbone'])}"
        )
    return arch_of(part["backbone"])


def _set_backbone(model: Model, new: NewBackbone, wiring: Wiring, kwargs: dict) -> None:
    """Replace the old backbone by the new one, which keeps some of its arguments."""
    edits, path, old = model.edits, model.path, model.old
    before = model.part["backbone"]
    backbone: dict[str, Any] = dict(new.cfg, out_indices=wiring.stages)
    if wiring.output_stride != DEFAULT_OUTPUT_STRIDE:
        backbone["output_stride"] = wiring.output_stride
    if old.ceil:
        backbone["ceil_mode"] = True
    backbone |= carried_arguments(before)
    if is_convnext(before) and _kind(arch_of(before)) != _kind(new.arch):
        backbone.pop("layer_scale_init_value", None)  # V2 and the isotropic ones have none
    if is_convnext(before) and arch_of(before) == new.arch and before.get("init_cfg"):
        backbone["init_cfg"] = before["init_cfg"]
    backbone |= kwargs
    if new.has_batch_norm:
        _keep_batch_norms(edits, path, before, backbone)
    frozen = before.get("frozen_stages", -1)
    if frozen >= 0 and "frozen_stages" not in kwargs:
        if backbone.get("init_cfg"):
            backbone["frozen_stages"] = _frozen_stages(edits, path, frozen, new)
        else:
            edits.warn(
                f"{path}.backbone.frozen_stages={frozen} is removed: without weights, the frozen "
                "stages would stay random"
            )
    if not backbone.get("init_cfg"):
        edits.warn("the backbone starts from random values, but the schedule was not changed")
    why = f"{wiring.tier}: maps of strides {old.strides}, of which the heads read {wiring.reads}"
    edits.set(path, model.part, "backbone", backbone, why)


def _kind(arch: Arch | None) -> tuple[bool, bool] | None:
    return (arch.grn, arch.isotropic) if arch else None


def _keep_batch_norms(edits: Edits, path: str, before: dict, backbone: dict) -> None:
    """Keep how the old backbone treats its batch norms, as far as it makes sense for new ones."""
    norm_cfg = before.get("norm_cfg") or {}
    kept: dict[str, Any] = {}
    if str(norm_cfg.get("type")).endswith("SyncBN"):
        kept["norm_cfg"] = dict(type="SyncBN")
    if before.get("norm_eval"):
        if backbone.get("init_cfg"):
            kept["norm_eval"] = True
        elif "norm_eval" not in backbone:
            edits.warn(
                f"{path}.backbone.norm_eval is removed: without weights, the statistics of the "
                "batch norms would stay at 0 and 1"
            )
    backbone |= {key: value for key, value in kept.items() if key not in backbone}


def _frozen_stages(edits: Edits, path: str, frozen: int, new: NewBackbone) -> int:
    if not new.is_isotropic or frozen in (0, NUM_STAGES):
        return min(frozen, len(new.depths))
    edits.warn(
        f"{path}.backbone.frozen_stages={frozen} becomes 0, the stem alone: the one stage of an "
        "isotropic backbone holds all of its blocks"
    )
    return 0


def _drop_old_weights(model: Model) -> None:
    """Remove weights of the old backbone, and of a whole model that contains it.

    Those of a head of transformers stay: they leave out what belonged to the old backbone.
    """
    why = "weights of the old network"
    edits = model.edits
    for where, owner, key in (
        (model.path, model.part, "pretrained"),
        (model.path, model.part, "init_cfg"),
        ("model", edits.cfg["model"], "init_cfg"),
        ("", edits.cfg, "load_from"),
    ):
        if owner.get(key) and not _are_of_the_head(owner[key]):
            if key != "pretrained":
                edits.warn(f"{where}.{key} ".lstrip(".") + f"is removed: {why} ({owner[key]})")
            edits.set(where, owner, key, None, why)


def _are_of_the_head(weights: object) -> bool:
    return isinstance(weights, Mapping) and weights.get("type") == "TransformersWeights"


def _set_imports(edits: Edits) -> None:
    """Import our package instead of the one that the old backbone came from."""
    used = {str(node.get("type")).partition(".")[0] for _, node in walk(edits.cfg.get("model"))}
    unused = set(BACKBONE_PACKAGES) - used
    kept = [name for name in custom_modules(edits.cfg) if name.partition(".")[0] not in unused]
    imports = dict.fromkeys([*kept, "convnext_dense"])
    value = dict(imports=list(imports), allow_failed_imports=False)
    edits.set("", edits.cfg, "custom_imports", value, "where ConvNeXt is registered")


def _name(cfg: Config) -> str:
    return Path(cfg.filename).name if cfg.filename else "the config"


def _probe(part: dict, path: str, scope: str, edits: Edits) -> Pyramid:
    backbone = part["backbone"]
    known = known_pyramid(backbone)
    if known:
        return known
    try:
        return probe_backbone(backbone, scope)
    except Exception as error:
        inferred = _infer(part)
        if inferred is None:
            raise SwapRefusedError(
                f"{path}.backbone ({type_name(backbone)}): its maps are not known, since building "
                f"it fails: {type(error).__name__}: {error}"
            ) from error
        edits.warn(
            f"{path}.backbone ({backbone['type']}) cannot be built here ({error}): its strides are "
            f"assumed to be {inferred.strides}, the usual ones for {len(inferred.levels)} maps"
        )
        return inferred


def _infer(part: dict) -> Pyramid | None:
    """Infer the maps from the channels that a neck or a head states, with the usual strides."""
    neck = part.get("neck")
    first = neck[0] if neck and isinstance(neck, (list, tuple)) else neck
    for reader in (first, part.get("decode_head"), part.get("panoptic_head")):
        channels = reader.get("in_channels") if isinstance(reader, dict) else None
        if isinstance(channels, (list, tuple)) and 2 <= len(channels) <= 4:
            strides = (4, 8, 16, 32)[-len(channels) :]
            levels = tuple(Level(c, s) for c, s in zip(channels, strides, strict=True))
            return Pyramid(levels, dilated=False, ceil=True)
    head = part.get("head")
    if isinstance(head, dict) and isinstance(head.get("in_channels"), int):
        return Pyramid((Level(head["in_channels"], 32),), dilated=False, ceil=True)
    return None


def _check_choice(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} is one of {', '.join(allowed)}, got {value!r}")
