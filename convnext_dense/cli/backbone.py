"""The flags that put a ConvNeXt under any config."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config, ConfigDict

from convnext_dense.backbone.archs import ARCHS, resolve_arch
from convnext_dense.config_tree import backbone_owner
from convnext_dense.swap.plan import RECIPES, same_arch
from convnext_dense.swap.relatives import pyramid_of
from convnext_dense.zoo import WEIGHTS, published_weights


def add_backbone_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--backbone`` and ``--recipe``."""
    group = parser.add_argument_group("a ConvNeXt under your config")
    add_backbone_option(group)
    add_recipe_option(group)


def add_backbone_option(parser: argparse._ActionsContainer) -> None:
    """Add ``--backbone``."""
    parser.add_argument(
        "--backbone",
        metavar="ARCH",
        help=f"put this ConvNeXt in the place of the config's backbone: {', '.join(ARCHS)}, same",
    )


def add_recipe_option(parser: argparse._ActionsContainer) -> None:
    """Add ``--recipe``."""
    parser.add_argument(
        "--recipe",
        choices=RECIPES,
        default="keep",
        help="keep the optimizer of the config, or take the published one; default: keep",
    )


def find_backbone(cfg: Config) -> ConfigDict | None:
    """Give the backbone of a model, or of the detector in a tracker or semi-supervised model."""
    owner = backbone_owner(cfg.model)
    return owner[1]["backbone"] if owner else None


def initial_weights(cfg: Config) -> str | None:
    """Name the file that the backbone's weights come from, or None for random values."""
    owner = backbone_owner(cfg.model)
    if owner is None:
        return None
    backbone = owner[1]["backbone"]
    # mmseg's configs name them in the model, mmdet 2.x did in the backbone.
    checkpoint = (backbone.get("init_cfg") or {}).get("checkpoint")
    checkpoint = checkpoint or backbone.get("pretrained") or owner[1].get("pretrained")
    return Path(checkpoint).name if checkpoint else None


def set_initial_weights(cfg: Config, init_cfg: Mapping | None) -> None:
    """Let the backbone, if there is one, start from these weights, None for random ones."""
    owner = backbone_owner(cfg.model)
    if owner is not None:
        backbone = owner[1]["backbone"]
        for part in (owner[1], backbone):
            part.pop("pretrained", None)
        backbone.init_cfg = init_cfg


def backbone_arguments(
    cfg: Config, arch: str | Mapping, weights: str | None, options: Mapping | None = None
) -> dict:
    """Give the arguments of the new backbone that the flags name.

    Args:
        cfg: The config before the swap.
        arch: ``--arch`` or ``--backbone``, or the config's.
        weights: ``--weights``: a path, URL, name of published weights, ``none`` or None.
        options: ``--backbone-options``.

    Raises:
        ValueError: Where there are no such published weights, or ``same`` means no ConvNeXt.
    """
    arguments = dict(options or {})
    if weights in WEIGHTS:
        arch = same_arch(cfg) if arch == "same" else resolve_arch(arch)
        weights = published_weights(arch, weights)
    if weights not in (None, "none"):
        before = find_backbone(cfg) if cfg.get("model") else None
        asked = _weight_options(arguments) or _weight_options(before or {})
        arguments["init_cfg"] = dict(asked, type="Pretrained", checkpoint=weights)
    return arguments


def _weight_options(backbone: Mapping) -> dict:
    """Return what a ConvNeXt's ``init_cfg`` asks for beside the weights, such as ``ema``.

    Another backbone's options are of its own weights.
    """
    init_cfg = backbone.get("init_cfg") or {}
    if isinstance(init_cfg, list):
        init_cfg = next((cfg for cfg in init_cfg if "checkpoint" in cfg), {})
    if backbone.get("type", "ConvNeXt") != "ConvNeXt" or pyramid_of(backbone):
        return {}
    return {key: value for key, value in init_cfg.items() if key not in ("type", "checkpoint")}
