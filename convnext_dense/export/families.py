"""Which models can be exported: others are refused by the name of the part that cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmengine.registry import MODELS, DefaultScope

from convnext_dense.config_tree import type_name, walk
from convnext_dense.registry import class_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmengine.config import Config, ConfigDict

# The classes of mmdet and mmseg that pass, by the key that holds them in a model's config. A class
# of a user's own passes if the class of mmdet or mmseg that it inherits does: whatever it changes
# must pass the comparison with PyTorch.
HEADS: dict[str, tuple[str, ...]] = {
    "rpn_head": ("RPNHead",),
    "roi_head": ("StandardRoIHead", "CascadeRoIHead", "HybridTaskCascadeRoIHead"),
    "bbox_head": (
        # of dense detectors
        "RetinaHead",
        "FCOSHead",
        "ATSSHead",
        "GFLHead",
        "RTMDetHead",
        "RTMDetSepBNHead",
        "RTMDetInsHead",
        "RTMDetInsSepBNHead",
        # of DETR and its kin
        "DETRHead",
        "ConditionalDETRHead",
        "DABDETRHead",
        "DeformableDETRHead",
        "DINOHead",
        # of RoIs
        "BBoxHead",
        "ConvFCBBoxHead",
        "Shared2FCBBoxHead",
        "Shared4Conv1FCBBoxHead",
    ),
    "mask_head": ("FCNMaskHead", "HTCMaskHead"),
    "semantic_head": ("FusedSemanticHead",),
    "panoptic_head": ("MaskFormerHead", "Mask2FormerHead"),
}
# Decode heads that cannot, and why. Any other may pass: the comparison with PyTorch decides.
UNABLE = {
    "DMHead": "the size of its kernels depends on the picture",
    "LightHamHead": "it draws new random numbers for every picture",
    "PSAHead": "ONNX has no operator for its masks",
    "SideAdapterCLIPHead": "it needs CLIP beside the backbone",
    "VPDDepthHead": "it estimates depth",
}
MODELS_KNOWN = (
    "FasterRCNN",
    "MaskRCNN",
    "CascadeRCNN",
    "HybridTaskCascade",
    "RetinaNet",
    "FCOS",
    "ATSS",
    "GFL",
    "RTMDet",
    "DETR",
    "ConditionalDETR",
    "DABDETR",
    "DeformableDETR",
    "DINO",
    "MaskFormer",
    "Mask2Former",
    "SingleStageDetector",
    "TwoStageDetector",
    "EncoderDecoder",
    "CascadeEncoderDecoder",
)
LIBRARIES = ("mmdet", "mmseg", "convnext_dense")


def refuse(cfg: Config) -> None:
    """Refuse a config whose model cannot be exported, before any work.

    Raises:
        ValueError: If a part of the model cannot be exported; the message names it.
    """
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope")):
        for key, node, known in _parts(cfg.model):
            name = _library_class(node)
            if name not in known:
                said = type_name(node) if name == type_name(node) else f"{type_name(node)} ({name})"
                raise ValueError(
                    f"{key} {said} cannot be exported: {', '.join(known)} can, and no other {key}"
                )
        for node in _as_list(cfg.model.get("decode_head")):
            if reason := UNABLE.get(_library_class(node)):
                raise ValueError(f"decode_head {type_name(node)} cannot be exported: {reason}")
        if cfg.model.get("panoptic_head") and not cfg.model.test_cfg.get("instance_on"):
            raise ValueError(
                "the model finds no objects: test_cfg.instance_on is not set. Panoptic results "
                "cannot be exported"
            )


def _parts(model: ConfigDict) -> Iterator[tuple[str, ConfigDict, tuple[str, ...]]]:
    yield "the model", model, MODELS_KNOWN
    for path, node in walk(model, "model"):
        names = [name for name in path.split(".") if not name.isdigit()]
        if "type" in node and names[-1] in HEADS:
            yield names[-1], node, HEADS[names[-1]]


def _as_list(heads: ConfigDict | list | None) -> list:
    return heads if isinstance(heads, list) else [heads] if heads else []


def _library_class(node: ConfigDict) -> str:
    """Return the class of mmdet, mmseg or ours that a type is or inherits."""
    kind = node["type"]
    found = class_of(MODELS.get(kind)) if isinstance(kind, str) else kind
    for one in getattr(found, "__mro__", ()):
        if one.__module__.partition(".")[0] in LIBRARIES:
            return one.__name__
    return type_name(node)
