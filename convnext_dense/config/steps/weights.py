"""Set the initial weights of a model, and the normalisation that they expect.

Only this module decides which weights a training starts from.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from convnext_dense.checkpoints.load import WEIGHTS_REMEDY
from convnext_dense.checkpoints.origin import told_name
from convnext_dense.checkpoints.source import is_remote, read_source
from convnext_dense.config.options import NONE
from convnext_dense.config.shared_parts import set_initial_weights
from convnext_dense.config.state import Plan
from convnext_dense.config_tree import backbone_owner, find_backbone, type_name
from convnext_dense.swap.edits import Edits
from convnext_dense.swap.new_backbone import find_new_backbone
from convnext_dense.swap.normalisation import update_normalisation
from convnext_dense.swap.other_convnexts import known_pyramid
from convnext_dense.swap.plan import same_arch
from convnext_dense.zoo.licences import Licence, find_licence
from convnext_dense.zoo.models import MODELS, fine_tuned_model
from convnext_dense.zoo.weights import WEIGHTS, find_weights, nearest_first

# The backbones whose ``init_cfg`` takes options of ``load_weights``.
OURS = ("ConvNeXt", "ResNetToConvNeXt")


def licence_of_weights(source: str) -> Licence | None:
    """Return the licence that the name of weights tells, or None."""
    return find_licence(told_name(source))


def show_licence(plan: Plan) -> Plan:
    """Say which licence weights of a URL or of the hub have, before they are downloaded."""
    weights = plan.options.weights
    if weights and is_remote(weights) and not plan.options.resume:
        return plan.changed(plan.config, *_licence_notes(weights))
    return plan


def fetch_weights(plan: Plan) -> Plan:
    """Download weights first, since their content tells which normalisation they expect.

    Raises:
        OSError: If they could not be loaded.
        RuntimeError: If they are damaged or refused.
    """
    weights = plan.options.weights
    if weights and "://" in weights and not plan.options.resume:
        read_source(weights, remedy=WEIGHTS_REMEDY)
    return plan


def set_weights(plan: Plan) -> Plan:
    """Apply ``weights``, and a name in ``load_from``, such as ``published``.

    The normalisation is changed to that of the weights, unless ``cfg_options`` set it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the model has no backbone, if there are no weights of that name for its arch,
            or no published model for the config.
    """
    cfg = plan.copy_config()
    notes = []
    weights = plan.options.weights
    if weights is not None:
        backbone = find_backbone(cfg.model)
        if backbone is None:
            raise ValueError(f"`weights`: the model {cfg.model.get('type')} has no key backbone")
        if weights == NONE:
            notes.append(f"`weights={NONE!r}`: the backbone starts from random values")
        elif weights in WEIGHTS and type_name(backbone) != "ConvNeXt":
            raise ValueError(
                f"`weights`: the backbone {backbone.get('type')} is not a ConvNeXt, give a file or "
                "URL"
            )
        elif weights not in WEIGHTS and not is_remote(weights) and not Path(weights).exists():
            message = f"`weights={weights!r}`: there is no such file"
            if not Path(weights).suffix and Path(weights).name == weights:
                names = nearest_first(weights)
                message += f", and no published weights of that name, which are {names}"
            raise FileNotFoundError(message)
        arch = backbone.get("arch", "tiny")
        init_cfg = backbone_arguments(cfg, arch, weights).get("init_cfg")
        set_initial_weights(cfg, init_cfg)
        if init_cfg and not plan.swap:  # a swap has set the normalisation already
            cfg, changes = _follow(cfg, init_cfg["checkpoint"], plan.options.cfg_options)
            notes += [f"`weights={weights!r}`: {change}" for change in changes]
    if not plan.options.resume and not is_remote(weights or ""):  # see show_licence
        notes += _licence_notes(initial_checkpoint(cfg))
    if cfg.get("load_from") in MODELS:
        cfg.load_from = fine_tuned_model(cfg.filename, cfg.load_from)
    return plan.changed(cfg, *notes)


def _licence_notes(source: str | None) -> list[str]:
    """Return a note with the licence of weights, if there is one that their name tells."""
    licence = licence_of_weights(source) if source else None
    return [f"the weights {source} are under {licence}: {licence.url}"] if licence else []


def _follow(cfg: Config, weights: str, asked: Mapping[str, object]) -> tuple[Config, list[str]]:
    """Return a config with the normalisation that weights expect, and a list of the changes."""
    edits = Edits(cfg)
    update_normalisation(edits, weights)
    if not edits.changes:
        return cfg, []
    for change in edits.changes:
        if change.path in asked:
            return cfg, [f"{change.path} stays as it was set; the weights expect {change.new}"]
    return Config(edits.cfg, filename=cfg.filename), list(map(str, edits.changes))


def initial_weights(cfg: Config) -> str | None:
    """Return the name of the file of the backbone's initial weights; None for random weights."""
    checkpoint = initial_checkpoint(cfg)
    return Path(checkpoint).name if checkpoint else None


def initial_checkpoint(cfg: Config) -> str | None:
    """Return the source of the backbone's initial weights; None for random weights."""
    owner = backbone_owner(cfg.get("model", ConfigDict()))
    if owner is None:
        return None
    backbone = owner[1]["backbone"]
    # mmseg's configs name them in the model, those of mmdet 2.x in the backbone.
    checkpoint = _pretrained(backbone).get("checkpoint")
    return checkpoint or backbone.get("pretrained") or owner[1].get("pretrained")


def backbone_arguments(
    cfg: Config, arch: str | Mapping, weights: str | None, options: Mapping | None = None
) -> dict[str, Any]:
    """Return the arguments of a backbone that starts from given weights.

    Args:
        cfg: The config before a swap.
        arch: The backbone's arch, or ``same``.
        weights: A path, URL, name of published weights, ``none`` or None.
        options: Further arguments.

    Raises:
        ValueError: If there are no such published weights, or ``same`` is used without a ConvNeXt.
    """
    arguments = dict(options or {})
    if weights in WEIGHTS:
        found = same_arch(cfg) if arch == "same" else find_new_backbone(arch).arch
        if found is None:
            raise ValueError(
                f"`weights={weights!r}` names weights of a ConvNeXt, which {arch} is not: give a "
                "file or URL, such as torchvision://resnet50 for roadmap:resnet"
            )
        weights = find_weights(found, weights).source
    if weights not in (None, NONE):
        before = find_backbone(cfg.model) if cfg.get("model") else None
        asked = _weight_options(arguments) or _weight_options(before or {})
        arguments["init_cfg"] = dict(asked, type="Pretrained", checkpoint=weights)
    return arguments


def _weight_options(backbone: Mapping) -> dict:
    """Return the options of the weights in a ConvNeXt's ``init_cfg``, such as ``ema``.

    Options of another backbone are left out, since they are for other weights.
    """
    if backbone.get("type", "ConvNeXt") not in OURS or known_pyramid(backbone):
        return {}
    options = _pretrained(backbone).items()
    return {key: value for key, value in options if key not in ("type", "checkpoint")}


def _pretrained(backbone: Mapping) -> Mapping:
    """Return the ``init_cfg`` that names weights, which may be one of a list; empty if none."""
    init_cfg = backbone.get("init_cfg") or {}
    if isinstance(init_cfg, Mapping):
        return init_cfg
    return next((cfg for cfg in init_cfg if "checkpoint" in cfg), {})
