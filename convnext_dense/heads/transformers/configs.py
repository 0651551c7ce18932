"""Build a head of transformers from the head dict of a config, for a backbone of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from torch import nn

from convnext_dense.checkpoints.transformers_head import quietly
from convnext_dense.config_tree import NUM_CLASSES
from convnext_dense.extras import EXTRAS
from convnext_dense.text import nearest_first, one_line

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

# The oldest transformers that this was tried with.
NEEDED = "5.20"
DETECTOR, SEGMENTER = NUM_CLASSES

Keys = dict[str, Any]


def _of_rt_detr(channels: Sequence[int], strides: Sequence[int], given: Mapping) -> Keys:
    return dict(encoder_in_channels=list(channels), feat_strides=list(strides))


def _defaults_of_rt_detr(maps: int, given: Mapping) -> Keys:
    levels = given.get("num_feature_levels", maps)
    return dict(
        encode_proj_layers=[maps - 1],
        decoder_in_channels=[given.get("encoder_hidden_dim", 256)] * maps,
        num_feature_levels=levels,
    )


def _defaults_of_rt_detr_v2(maps: int, given: Mapping) -> Keys:
    defaults = _defaults_of_rt_detr(maps, given)
    return dict(defaults, decoder_n_levels=defaults["num_feature_levels"])


def _of_mask2former(channels: Sequence[int], strides: Sequence[int], given: Mapping) -> Keys:
    if given.get("use_auxiliary_loss") is False:
        raise ValueError("head.use_auxiliary_loss=False: transformers' Mask2Former cannot run so")
    return dict(feature_strides=list(strides), common_stride=strides[0])


def _of_upernet(channels: Sequence[int], strides: Sequence[int], given: Mapping) -> Keys:
    if not given.get("use_auxiliary_head", True):
        return {}
    if len(channels) < 3:
        raise ValueError(
            f"head.use_auxiliary_head: UperNet's auxiliary head reads the third map, and the "
            f"backbone has {len(channels)}: set it to False"
        )
    return dict(auxiliary_in_channels=channels[2])


def _nothing(*args: object) -> Keys:
    return {}


@dataclass(frozen=True)
class Head:
    """A kind of head: the classes of transformers that it is built from.

    Attributes:
        config: Their class of its config.
        models: Their class of the model, by the class of ours that it stands in.
        translation: For each of ours, the class that translates inputs and outputs, as
            ``module.Class`` in this package.
        of_backbone: Returns the keys of the config that the backbone decides, from its channels,
            its strides and the head dict.
        defaults: Returns our defaults that depend on the number of maps and the head dict.
    """

    config: str
    models: Mapping[str, str]
    translation: Mapping[str, str]
    of_backbone: Callable[[Sequence[int], Sequence[int], Mapping], Keys] = _nothing
    defaults: Callable[[int, Mapping], Keys] = _nothing

    @property
    def finds_boxes_alone(self) -> bool:
        """Whether it finds boxes and no masks."""
        return self.translation.get(DETECTOR, "").startswith("boxes.")


HEADS: Mapping[str, Head] = {
    "rt_detr_v2": Head(
        "RTDetrV2Config",
        {DETECTOR: "RTDetrV2ForObjectDetection"},
        {DETECTOR: "boxes.CanvasBoxes"},
        _of_rt_detr,
        _defaults_of_rt_detr_v2,
    ),
    "rt_detr": Head(
        "RTDetrConfig",
        {DETECTOR: "RTDetrForObjectDetection"},
        {DETECTOR: "boxes.CanvasBoxes"},
        _of_rt_detr,
        _defaults_of_rt_detr,
    ),
    "d_fine": Head(
        "DFineConfig",
        {DETECTOR: "DFineForObjectDetection"},
        {DETECTOR: "boxes.CanvasBoxes"},
        _of_rt_detr,
        _defaults_of_rt_detr,
    ),
    "deformable_detr": Head(
        "DeformableDetrConfig",
        {DETECTOR: "DeformableDetrForObjectDetection"},
        {DETECTOR: "boxes.ImageBoxes"},
    ),
    "mask2former": Head(
        "Mask2FormerConfig",
        dict.fromkeys((DETECTOR, SEGMENTER), "Mask2FormerForUniversalSegmentation"),
        {DETECTOR: "mask2former.InstanceMasks", SEGMENTER: "label_maps.QueryLabelMaps"},
        _of_mask2former,
    ),
    "upernet": Head(
        "UperNetConfig",
        {SEGMENTER: "UperNetForSemanticSegmentation"},
        {SEGMENTER: "label_maps.PixelLabelMaps"},
        _of_upernet,
    ),
}
REFUSED = {
    "rf_detr": "its backbone is fixed in transformers' code, so that no ConvNeXt can stand there",
    "dpt": "its neck reassembles the tokens of a ViT, which a ConvNeXt does not have",
    "oneformer": "it needs a tokenised text beside each image",
}


def check_installed() -> None:
    """Check the installed version of transformers.

    Raises:
        ImportError: If there is none, or it is older than :data:`NEEDED`.
    """
    needs = f"the heads of transformers need transformers {NEEDED} or newer"
    remedy = f"pip install 'convnext-dense[{EXTRAS['transformers']}]'"
    try:
        found = version("transformers")
    except PackageNotFoundError:
        raise ImportError(f"{needs}: {remedy}") from None
    from packaging.version import Version  # which transformers needs itself

    if Version(found) < Version(NEEDED):
        raise ImportError(f"{needs}, found {found}: {remedy}")


def find_head(name: object, owner: str) -> Head:
    """Return the kind of a head.

    Args:
        name: ``type`` of the head dict.
        owner: The class of ours that it stands in.

    Raises:
        ValueError: If there is no such head for it; the message says which there are, or why not.
    """
    if name in REFUSED:
        raise ValueError(f"head.type={name!r} is refused: {REFUSED[str(name)]}")
    known = [one for one, head in HEADS.items() if owner in head.models]
    if name in known:
        return HEADS[str(name)]
    listed = ", ".join(nearest_first(str(name), known))
    others = SEGMENTER if owner == DETECTOR else DETECTOR
    other = f", and {name} is one of {others}" if name in HEADS else ""
    raise ValueError(f"{owner} has no head {name!r}{other}: it has {listed}")


def build_head(cfg: Mapping, backbone: nn.Module, owner: str) -> tuple[PreTrainedModel, Any]:
    """Build a model of transformers whose backbone is ours, and what translates for it.

    Args:
        cfg: ``type`` is a name in :data:`HEADS`, ``num_classes`` the number of classes; every other
            key is one of its config class.
        backbone: Has ``out_channels`` and ``out_strides``. It does not become a part of the model:
            its parameters stay where they are.
        owner: The class of ours that the head stands in.

    Returns:
        The model, and its :class:`.Translation` or ``LabelMaps``.

    Raises:
        ImportError: If transformers is absent or too old.
        ValueError: If the head or a key is unknown, or a value does not fit.
    """
    check_installed()
    import transformers

    from convnext_dense.heads.transformers.backbone import put_backbone

    kind = find_head(cfg.get("type"), owner)
    with quietly():  # Mask2Former warns of every backbone but Swin
        config = _build_config(kind, cfg, backbone, owner)
        try:
            model = getattr(transformers, kind.models[owner])(config)
        except (ValueError, RuntimeError, TypeError, IndexError, AssertionError) as error:
            raise ValueError(f"head: {kind.config} cannot be built: {one_line(error)}") from error
    put_backbone(model, backbone)
    module, _, name = kind.translation[owner].rpartition(".")
    return model, getattr(import_module(f"{__package__}.{module}"), name)(model)


def _build_config(kind: Head, cfg: Mapping, backbone: nn.Module, owner: str) -> PreTrainedConfig:
    import transformers

    from convnext_dense.heads.transformers.backbone import MapsConfig

    config_class = getattr(transformers, kind.config)
    given = _plain({key: value for key, value in cfg.items() if key != "type"})
    _check_keys(given, config_class)
    channels, strides = _outputs(backbone)
    fixed = dict(kind.of_backbone(channels, strides, given))
    for key, value in fixed.items():
        if given.get(key, value) != value:
            raise ValueError(f"head.{key}={given[key]} is not the backbone's, which is {value}")
    number = given.pop("num_classes", NUM_CLASSES[owner])
    if type(number) is not int or number < 1:
        raise ValueError(f"head.num_classes is a whole number from 1, got {number!r}")
    if kind.finds_boxes_alone and given.get("decoder_layers") == 1:
        raise ValueError("head.decoder_layers is at least 2: transformers ties the others to one")
    names = given.pop("id2label", None) or {label: f"LABEL_{label}" for label in range(number)}
    if len(names) != number:
        raise ValueError(f"head.id2label has {len(names)} names for num_classes={number}")
    arguments = kind.defaults(len(channels), given) | given | fixed
    try:
        return config_class(
            backbone_config=MapsConfig(channels=list(channels), strides=list(strides)),
            id2label=names,
            label2id={name: label for label, name in names.items()},
            **arguments,
        )
    except Exception as error:  # huggingface_hub has errors of its own for values
        raise ValueError(f"head: {kind.config} refuses: {one_line(error)}") from error


def _outputs(backbone: nn.Module) -> tuple[Sequence[int], Sequence[int]]:
    """Return channels and strides of a backbone's maps."""
    try:
        return tuple(backbone.out_channels), tuple(backbone.out_strides)  # type: ignore[arg-type]
    except (AttributeError, TypeError):
        raise ValueError(
            f"the backbone {type(backbone).__name__} does not say its out_channels and "
            "out_strides, as ConvNeXt does: the heads of transformers are built from them"
        ) from None


# The backbone's place is taken, and their own backbones cannot stand there.
_OURS = ("backbone_config", "num_labels", "label2id")


def _check_keys(given: Mapping, config_class: Any) -> None:  # noqa: ANN401
    known = {field.name for field in fields(config_class) if not field.name.startswith("_")}
    known = (known | set(config_class.attribute_map) | {"num_classes"}).difference(_OURS)
    for key in given:
        if key in known:
            continue
        if key in _OURS:
            remedy = "set model.backbone" if key == "backbone_config" else "set num_classes"
            raise ValueError(f"head.{key} follows from other keys: {remedy}")
        raise ValueError(
            f"head.{key} is unknown to transformers' {config_class.__name__}: did you mean "
            f"{nearest_first(key, known)[0]}?"
        )


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Return mmengine's dicts and lists as Python's own, which transformers can check and save."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value
