"""Which models cannot be exported: they are refused by the name of the part, before any work.

All other models are tried: the comparison with PyTorch decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mmengine.registry import MODELS

from convnext_dense.config_tree import named_class, type_name, walk
from convnext_dense.export.describe import read_pipeline
from convnext_dense.inference.model import test_dataset

if TYPE_CHECKING:
    from mmengine.config import Config, ConfigDict

_DEFORMS = "ONNX has no deformable convolution at opset 18"
_RESCORES = "it changes scores after suppression, so that the best come no longer first"
_POINTS = "it refines masks at points, whose number depends on the picture"
_OWN = "it has its own code for predictions, whose number of rows depends on the picture"
# Classes of mmdet and mmseg, and why. One of a user's own that inherits one of them is refused too.
UNABLE = {
    "VFNetHead": _DEFORMS,
    "TOODHead": _DEFORMS,
    "DDODHead": _DEFORMS,
    "RepPointsHead": _DEFORMS,
    "NASFCOSHead": _DEFORMS,
    "StageCascadeRPNHead": _DEFORMS,
    "DyHead": _DEFORMS,
    "NASFCOS_FPN": _DEFORMS,
    "PAAHead": "its voting compares each box with all others of its class",
    "GridHead": "it finds boxes by the highest of many nearly equal values of a map",
    "MaskIoUHead": _RESCORES,
    "MaskPointHead": _POINTS,
    "YOLOXHead": _OWN,
    "YOLACTHead": _OWN,
    "SOLOHead": _OWN,
    "SOLOV2Head": _OWN,
    "CondInstBboxHead": _OWN,
    "CenterNetHead": _OWN,
    "CornerHead": _OWN,
    "DDQDETRHead": _OWN,
    "GuidedAnchorHead": "it computes features only where it expects objects",
    "BFP": "ONNX has no pooling to a size that depends on the picture",
    "DMHead": "the size of its kernels depends on the picture",
    "LightHamHead": "it draws new random numbers for every picture",
    "PSAHead": "ONNX has no operator for its masks",
    "SideAdapterCLIPHead": "it needs CLIP beside the backbone",
    "VPDDepthHead": "it estimates depth",
}
# Of models, by the beginning of their modules.
UNABLE_MODELS = {
    "mmdet.models.mot": "it follows objects from picture to picture",
    "mmdet.models.vis": "it follows objects from picture to picture",
    "mmdet.models.reid": "it finds no objects",
    "mmdet.models.detectors.semi_base": "export its teacher or student, a detector of its own",
    "mmdet.models.detectors.panoptic_two_stage_segmentor": "its results are panoptic",
    "mmdet.models.detectors.glip": "it reads text beside the picture",
    "mmdet.models.detectors.grounding_dino": "it reads text beside the picture",
    "mmseg.models.segmentors.multimodal_encoder_decoder": "it reads text beside the picture",
    "mmseg.models.segmentors.depth_estimator": "it estimates depth",
}
# Suppressions of mmcv that can.
NMS = ("nms", "soft_nms")


def refuse(cfg: Config) -> None:
    """Refuse a config whose model cannot be exported, before any work.

    Raises:
        ValueError: If a part of the model or of the test pipeline cannot be exported; the message
            names it.
    """
    scope = cfg.get("default_scope")
    model = type_name(cfg.model)
    for kind in _classes(cfg.model, scope):
        for beginning, reason in UNABLE_MODELS.items():
            if kind.__module__.startswith(beginning):
                raise ValueError(f"the model {model} cannot be exported: {reason}")
    for path, node in walk(cfg.model, "model"):
        if "type" in node and "backbone" not in path:
            for kind in _classes(node, scope):
                if why := UNABLE.get(kind.__name__):
                    raise ValueError(f"{path} {type_name(node)} cannot be exported: {why}")
    for path, node in walk(cfg.model.get("test_cfg"), "model.test_cfg"):
        if path.endswith("nms") and node.get("type", "nms") not in NMS:
            raise ValueError(
                f"{path}.type={node['type']!r} cannot be exported: {' and '.join(NMS)} can"
            )
    if cfg.model.get("panoptic_head") and not cfg.model.test_cfg.get("instance_on"):
        raise ValueError(
            "the model finds no objects: test_cfg.instance_on is not set. Panoptic results "
            "cannot be exported"
        )
    read_pipeline(test_dataset(cfg).pipeline)


def _classes(node: ConfigDict, scope: str | None) -> Iterator[type]:
    """Yield the class of a dict's type, and those that it inherits; none if it is not a model's."""
    yield from getattr(named_class(MODELS, node, scope), "__mro__", ())
