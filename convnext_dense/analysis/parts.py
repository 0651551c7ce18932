"""Find the parts of a detector or segmenter, and run each of them once."""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING

from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from convnext_dense.analysis.meta_device import RealSizes
from convnext_dense.backbone import ConvNeXt
from convnext_dense.checkpoints.transformers_head import transformers_head

if TYPE_CHECKING:
    from mmengine.model import BaseModel

NUM_BOXES = 1000
NUM_MASKS = 100

AUXILIARY_HEAD = "auxiliary head"
# What a DETR has between its parts, such as the embeddings of its queries.
BETWEEN = "embeddings"
HEADS = ("rpn_head", "bbox_head", "panoptic_head", "decode_head")
# Their stages run one after the other on RoI features of one size; other RoI heads pass more on.
ROI_HEADS = ("StandardRoIHead", "CascadeRoIHead")
# Of models of transformers, by the module's name there. What is left is their head.
TRANSFORMERS_PARTS = {
    "model.encoder": "encoder",
    "model.decoder": "decoder",
    "model.pixel_level_module": "pixel decoder",
    "model.transformer_module": "transformer decoder",
    "auxiliary_head": AUXILIARY_HEAD,
}


def find_parts(model: BaseModel) -> dict[str, list[nn.Module]]:
    """Name the parts of a model, in the order in which they run, with the modules of each.

    A module inside another part's module stands before it, and is counted on its own.

    Raises:
        ValueError: Where this is no detector or segmenter whose parts :func:`run_parts` knows.
    """
    if not hasattr(model, "backbone"):
        raise ValueError(f"{type(model).__name__} has no backbone: its FLOPs cannot be counted")
    parts = _backbone_parts(model.backbone)
    of_transformers = transformers_head(model)
    if of_transformers is not None:
        modules = dict(of_transformers.named_modules())
        for path, label in TRANSFORMERS_PARTS.items():
            if path in modules:
                parts[label] = [modules[path]]
        return parts | {"head": [of_transformers]}
    if model.with_neck:
        parts["neck"] = [model.neck]
    if is_detr(model):
        return parts | _detr_parts(model)
    for name in HEADS:
        head = getattr(model, name, None)
        if head is not None:
            for name_inside in ("pixel_decoder", "transformer_decoder"):  # of MaskFormer's heads
                decoder = getattr(head, name_inside, None)
                if decoder is not None:
                    # Mask2Former calls the decoder's layers one by one.
                    layers = getattr(decoder, "layers", ())
                    parts[name_inside.replace("_", " ")] = [decoder, *layers]
            parts[name.replace("_", " ")] = [head]
    roi_head = getattr(model, "roi_head", None)
    if roi_head is not None:
        if type(roi_head).__name__ not in ROI_HEADS:
            raise ValueError(
                f"{type(roi_head).__name__} cannot be counted: the RoI heads whose stages are "
                f"known are {', '.join(ROI_HEADS)}"
            )
        if roi_head.with_shared_head:
            parts["shared head"] = [roi_head.shared_head]
        for name in ("bbox_head", "mask_head"):
            heads = _listed(getattr(roi_head, name, None))
            for stage, head in enumerate(heads):
                label = name.replace("_", " ")
                parts[f"{label} {stage}" if len(heads) > 1 else label] = [head]
    auxiliary_heads = _listed(getattr(model, "auxiliary_head", None))
    if auxiliary_heads:
        parts[AUXILIARY_HEAD] = auxiliary_heads
    return parts


def run_parts(model: BaseModel, image: Tensor) -> None:
    """Call every part that :func:`find_parts` names once, on a (1, C, H, W) image."""
    of_transformers = transformers_head(model)
    if of_transformers is not None:
        with RealSizes():
            of_transformers(image)
        return
    features = model.backbone(image)
    if model.with_neck:
        features = model.neck(features)
    shape = tuple(image.shape[-2:])
    samples = [BaseDataElement(metainfo=dict(img_shape=shape, batch_input_shape=shape))]
    with RealSizes():
        if is_detr(model):
            model.bbox_head(**model.forward_transformer(features, samples))
            return
        for name in HEADS:
            head = getattr(model, name, None)
            if head is not None and "batch_data_samples" in signature(head.forward).parameters:
                head(features, samples)
            elif head is not None:
                head(features)
    if getattr(model, "roi_head", None) is not None:
        _run_roi_heads(model.roi_head, image)
    for head in _listed(getattr(model, "auxiliary_head", None)):
        head(features)


def is_detr(model: BaseModel) -> bool:
    """Whether a model is one of mmdet's DETRs, such as DINO."""
    return hasattr(model, "forward_transformer")


def _detr_parts(model: BaseModel) -> dict[str, list[nn.Module]]:
    head = model.bbox_head
    # The decoder and the choice of its queries call these branches by themselves.
    branches = [
        branch
        for name in ("cls_branches", "reg_branches")
        for branch in _listed(getattr(head, name, None))
    ]
    parts = dict(encoder=[model.encoder], decoder=[model.decoder])
    parts["bbox head"] = [head, *branches]
    known = ("backbone", "neck", "encoder", "decoder", "bbox_head", "data_preprocessor")
    parts[BETWEEN] = [module for name, module in model.named_children() if name not in known]
    return parts


def _backbone_parts(backbone: nn.Module) -> dict[str, list[nn.Module]]:
    if not isinstance(backbone, ConvNeXt):
        return {"backbone": [backbone]}
    stem, *downsamplings = backbone.downsample_layers
    parts = {"backbone stem": [stem], "backbone stage 0": [*backbone.stages[0].children()]}
    for stage, downsampling in enumerate(downsamplings, start=1):
        parts[f"backbone stage {stage}"] = [downsampling, *backbone.stages[stage].children()]
    if backbone.norm_out:
        norms = [getattr(backbone, f"norm{stage}") for stage in backbone.out_indices]
        parts["backbone output norms"] = norms
    return parts


def _run_roi_heads(roi_head: BaseModel, image: Tensor) -> None:
    for name, num_rois in (("bbox", NUM_BOXES), ("mask", NUM_MASKS)):
        if not getattr(roi_head, f"with_{name}"):
            continue
        heads = _listed(getattr(roi_head, f"{name}_head"))
        # A mask head without an extractor of its own takes that of the boxes.
        extractors = _listed(
            getattr(roi_head, f"{name}_roi_extractor", None) or roi_head.bbox_roi_extractor
        )
        for head, extractor in zip(heads, extractors, strict=True):
            size = extractor.roi_layers[0].output_size
            rois = image.new_empty(num_rois, extractor.out_channels, *size)
            head(roi_head.shared_head(rois) if roi_head.with_shared_head else rois)


def _listed(modules: BaseModel | None) -> list[BaseModel]:
    if modules is None:
        return []
    return list(modules) if isinstance(modules, nn.ModuleList) else [modules]
