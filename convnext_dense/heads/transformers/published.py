"""Read what a model is that transformers' ``save_pretrained`` wrote, here or on the hub."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any

from convnext_dense.checkpoints.hub_folder import told_normalisation
from convnext_dense.checkpoints.source import folder_file
from convnext_dense.heads.transformers.configs import (
    DETECTOR,
    HEADS,
    REFUSED,
    SEGMENTER,
    check_installed,
)
from convnext_dense.text import nearest_first
from convnext_dense.zoo.weights import Normalisation

# The stand-in for a backbone that is not built here.
BACKBONE = "TransformersBackbone"
# Of a ConvNeXt below a head, in the names of their files.
_PLACES = {
    "upernet": "backbone",
    "mask2former": "model.pixel_level_module.encoder",
    "deformable_detr": "model.backbone.conv_encoder.model",
}
_USUAL_PLACE = "model.backbone.model"
CONVNEXTS = {"convnext": False, "convnextv2": True}
_STRIDES = {"mask2former": (4, 8, 16, 32), "upernet": (4, 8, 16, 32)}
_USUAL_STRIDES = (8, 16, 32)


@dataclass(frozen=True)
class PublishedModel:
    """A model of transformers.

    Attributes:
        source: Where its weights are.
        owner: The class of ours that its head stands in.
        head: The head dict, without ``num_classes``.
        backbone: Our backbone if its own is a ConvNeXt, else a stand-in that only a swap can read.
        classes: Names of its classes; empty if it has none.
        number: The number of classes.
        normalisation: Mean and standard deviation of the images, if its own backbone is ours and
            it says them.
    """

    source: str
    owner: str
    head: dict[str, Any]
    backbone: dict[str, Any]
    classes: tuple[str, ...]
    number: int
    normalisation: Normalisation | None


def read_published(name: str) -> PublishedModel:
    """Read the ``config.json`` of a model; its weights are not read, and nothing is run.

    Args:
        name: A folder, or the id of a model on the hub.

    Raises:
        FileNotFoundError: If there is neither such a folder nor such a model.
        OSError: If it could not be downloaded.
        ImportError: If transformers, or huggingface_hub for a model on the hub, is missing.
        ValueError: If it is no model with a head that there is.
    """
    check_installed()
    source, file = folder_file(name, "config.json")
    try:
        config = json.loads(file.read_bytes())
        kind = str(config["model_type"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError(f"{file} is not the config of a model of transformers") from None
    if kind not in HEADS:
        known = ", ".join(nearest_first(kind, HEADS))
        why = f", which is refused: {REFUSED[kind]}" if kind in REFUSED else ""
        raise ValueError(f"{name} is a {kind}{why}; heads are read of {known}")
    owner = _owner(kind, name)
    backbone = _backbone(kind, config, source)
    labels = config.get("id2label")
    names = tuple(map(str, labels.values())) if isinstance(labels, Mapping) else ()
    unnamed = len(set(names)) < len(names) or any(one.startswith("LABEL_") for one in names)
    return PublishedModel(
        source,
        owner,
        dict(type=kind, **_own_keys(kind, config)),
        backbone,
        () if unnamed else names,
        len(names) or 2,  # transformers leaves out its default
        _normalisation(name) if backbone["type"] != BACKBONE else None,
    )


def _normalisation(name: str) -> Normalisation | None:
    """Return mean and deviation, for images of 0 to 255, that an image processor states."""
    try:
        _, file = folder_file(name, "preprocessor_config.json")
    except FileNotFoundError:
        return None
    try:
        if json.loads(file.read_bytes()).get("do_normalize") is False:
            return (0.0, 0.0, 0.0), (255.0, 255.0, 255.0)
    except (ValueError, AttributeError, RecursionError):
        return None
    return told_normalisation(file.parent)


def _owner(kind: str, name: str) -> str:
    """Return the class of ours; a config of Mask2Former does not say what it was trained for."""
    owners = tuple(HEADS[kind].models)
    if len(owners) == 1:
        return owners[0]
    return DETECTOR if "instance" in name.lower() else SEGMENTER


def _own_keys(kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a config sets for its head, and the backbone does not decide."""
    import transformers

    config_class: Any = getattr(transformers, HEADS[kind].config)
    base = {field.name for field in fields(transformers.PreTrainedConfig)}
    decided = HEADS[kind].of_backbone((1, 1, 1, 1), (4, 8, 16, 32), {})
    left_out = base | set(decided) | {"backbone_config"}
    own = {}
    for field in fields(config_class):
        if field.name in left_out or field.name not in config:
            continue
        value, default = config[field.name], field.default
        if default is MISSING or _listed(default) != value:
            own[field.name] = value
    return own


def _listed(value: Any) -> Any:  # noqa: ANN401
    return list(value) if isinstance(value, tuple) else value


def _backbone(kind: str, config: Mapping[str, Any], source: str) -> dict[str, Any]:
    inner = config.get("backbone_config")
    inner = inner if isinstance(inner, Mapping) else {}
    model_type = str(inner.get("model_type") or config.get("backbone") or "backbone without name")
    strides = _STRIDES.get(kind, _USUAL_STRIDES)
    if model_type not in CONVNEXTS:
        return dict(type=BACKBONE, name=model_type, strides=list(strides))
    try:
        arch = dict(
            depths=list(inner.get("depths") or (3, 3, 9, 3)),
            channels=list(inner.get("hidden_sizes") or (96, 192, 384, 768)),
            grn=CONVNEXTS[model_type],
        )
        outputs = [int(stage.removeprefix("stage")) - 1 for stage in inner["out_features"]]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ValueError(f"{source}: its backbone_config is not that of a ConvNeXt") from None
    place = _PLACES.get(kind, _USUAL_PLACE)
    backbone: dict[str, Any] = dict(
        type="ConvNeXt",
        arch=arch,
        out_indices=outputs,
        init_cfg=dict(type="Pretrained", checkpoint=source, prefix=place),
    )
    if not arch["grn"] and not inner.get("layer_scale_init_value", 1):
        backbone["layer_scale_init_value"] = 0.0
    return backbone


class TransformersBackbone:
    """Stand in a config for a backbone of transformers, which only a swap can take the place of.

    Args:
        name: Its kind in transformers.
        strides: The strides of its maps.

    Raises:
        ValueError: Always, since it is never built.
    """

    def __init__(self, name: str, strides: Sequence[int]) -> None:
        raise ValueError(
            f"the backbone of this model is a {name} of transformers, which is not built here: "
            "`backbone='tiny'` puts a ConvNeXt there"
        )
