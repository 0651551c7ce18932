"""Make random input for training and prediction with a detector, a segmenter or a video model.

The batches have the form in which the data loaders of mmdet and mmseg pass them to
``model.data_preprocessor``. The two images of a batch differ in size, and their sides are odd,
unless a model accepts only one size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.structures import InstanceData, PixelData
from torch import Tensor, nn

from convnext_dense.config_tree import walk

if TYPE_CHECKING:
    from mmdet.structures.mask import BitmapMasks, PolygonMasks

# Sides are odd, and the images of a batch differ.
MARGINS = ((1, 1), (5, 17))
INSTANCES = (4, 3)
IGNORED_LABEL = 255
# Networks that accept only images whose sides are multiples of their strides.
REFUSE_ODD_SIZES = ("UNet", "DDRNet")
ENTITIES = ("cat", "dog", "traffic light", "person")


@dataclass(frozen=True)
class Annotations:
    """The kind of annotations that a config needs.

    Attributes:
        num_classes: Classes of the instances, or of a segmenter's pixels.
        num_semantic_classes: Classes of a detector's semantic map; 0 if it reads none.
        masks: Whether instances have masks.
        polygons: Whether masks are polygons, not bitmaps.
        proposals: Whether proposals are part of the input (Fast R-CNN).
        ignored: Whether some pixels of a segmenter are unlabelled.
        margins: How much smaller than the canvas the images of a training batch are, in height
            and width.
    """

    num_classes: int
    num_semantic_classes: int = 0
    masks: bool = False
    polygons: bool = False
    proposals: bool = False
    ignored: bool = True
    margins: tuple[tuple[int, int], tuple[int, int]] = MARGINS


def training_batch(model: nn.Module, annotations: Annotations, canvas: tuple[int, int]) -> dict:
    """Make two annotated images, or two videos of two frames, for ``data_preprocessor``.

    Args:
        model: A detector, segmenter or video model.
        annotations: The kind of annotations.
        canvas: Height and width that the images are padded to if a model has a fixed size.

    Raises:
        TypeError: If the model is of another kind.
    """
    make = _maker(model)
    samples = [
        make(_fit(canvas, margin), annotations, count)
        for margin, count in zip(annotations.margins, INSTANCES, strict=True)
    ]
    return {key: [sample[key] for sample in samples] for key in ("inputs", "data_samples")}


def prediction_batch(model: nn.Module, annotations: Annotations, canvas: tuple[int, int]) -> dict:
    """Make one image, or one video, to predict on.

    For a segmenter that slides a window over the image, the image needs several windows.
    """
    sliding = "slide" in ((getattr(model, "test_cfg", None) or {}).get("mode") or "")
    shape = _fit(canvas, (-15, -31) if sliding else annotations.margins[0])
    sample = _maker(model)(shape, annotations, INSTANCES[0])
    return {key: [value] for key, value in sample.items()}


def read_annotations(cfg: Config, model: ConfigDict) -> Annotations:
    """Return the kind of annotations that a config needs.

    Args:
        cfg: The config; its training pipeline is read.
        model: The part of its model that is tried.
    """
    heads = {key: value for key, value in model.items() if key != "backbone"}
    transforms = _training_transforms(cfg)
    preprocessor = [node for _, node in walk(model.get("data_preprocessor"))]
    pad_seg = any(node.get("pad_seg") for node in preprocessor)
    # mmseg's cross entropy with class weights fails on ignored pixels, and so on padding.
    losses = walk([node.get("loss_decode") for _, node in walk(heads)])
    weighted = any(loss.get("class_weight") for _, loss in losses)
    margins = MARGINS
    size = image_size(cfg)
    if size:
        margins = ((1, 1),) * 2 if any(side % 32 for side in size) else ((0, 0),) * 2
    elif weighted or model.get("backbone", {}).get("type") in REFUSE_ODD_SIZES:
        margins = ((0, 0),) * 2
    return Annotations(
        num_classes=min(_class_counts(heads), default=1),
        num_semantic_classes=min(_semantic_class_counts(heads), default=0) if pad_seg else 0,
        masks=any(node.get("with_mask") for node in transforms)
        or any(node.get("pad_mask") for node in preprocessor),
        polygons=any(node.get("poly2mask") is False for node in transforms),
        proposals="roi_head" in model and not model.get("rpn_head"),
        ignored=not weighted,
        margins=margins,
    )


def image_size(cfg: Config) -> tuple[int, int] | None:
    """Return height and width of a detector's images, or None if they differ in size."""
    for transform in _training_transforms(cfg):
        kind = str(transform.get("type"))
        if kind == "Pad" and transform.get("size"):
            return transform["size"]
        if kind == "Resize" and transform.get("keep_ratio") is False:
            return transform["scale"][::-1]
    return None


def _training_transforms(cfg: Config) -> list[dict]:
    """Return every dict in the config of the training data, including the transforms."""
    return [node for _, node in walk([cfg.get("train_pipeline"), cfg.get("train_dataloader")])]


def _class_counts(heads: dict) -> Iterator[int]:
    # The classes of a text-prompted detector are those in its prompt.
    if "language_model" in heads:
        yield len(ENTITIES)
    for _, node in walk(heads):
        for key in ("num_classes", "num_things_classes"):
            if isinstance(node.get(key), int) and node[key] > 0:
                yield node[key]


def _semantic_class_counts(heads: dict) -> Iterator[int]:
    for _, node in walk(heads):
        if "semantic_head" in node:
            head = node["semantic_head"]
            yield head.get("num_classes") or head["num_things_classes"] + head["num_stuff_classes"]
        elif node.get("num_stuff_classes"):
            yield node["num_things_classes"] + node["num_stuff_classes"]


def _fit(canvas: tuple[int, int], margin: tuple[int, int]) -> tuple[int, int]:
    return canvas[0] - margin[0], canvas[1] - margin[1]


def _maker(model: nn.Module) -> Callable[..., dict]:
    from mmdet.models import BaseDetector
    from mmdet.models.mot import BaseMOTModel
    from mmseg.models.segmentors.base import BaseSegmentor

    if isinstance(model, BaseSegmentor):
        return _segmented_image
    if isinstance(model, BaseMOTModel):
        return _video
    if isinstance(model, BaseDetector):
        return _annotated_image
    raise TypeError(
        f"{type(model).__name__} is not a detector, segmenter or video model of mmdet or mmseg: "
        "a trial cannot make input for it"
    )


def _segmented_image(shape: tuple[int, int], annotations: Annotations, count: int) -> dict:
    from mmseg.structures import SegDataSample

    labels = torch.randint(annotations.num_classes, (1, *shape))
    if annotations.ignored:
        labels[:, : shape[0] // 8] = IGNORED_LABEL
    sample = SegDataSample(metainfo=_meta(shape))
    sample.gt_sem_seg = PixelData(data=labels)
    sample.gt_edge_map = PixelData(data=torch.randint(2, (1, *shape)))
    sample.gt_depth_map = PixelData(data=torch.rand(1, *shape) * 10)
    return {"inputs": _image(shape), "data_samples": sample}


def _annotated_image(shape: tuple[int, int], annotations: Annotations, count: int) -> dict:
    from mmdet.structures import DetDataSample

    sample = DetDataSample(metainfo=_meta(shape))
    sample.gt_instances = _instances(count, shape, annotations)
    sample.ignored_instances = _instances(0, shape, annotations)
    if annotations.num_semantic_classes:
        semantic = torch.randint(annotations.num_semantic_classes, (1, *shape))
        sample.gt_sem_seg = PixelData(sem_seg=semantic)
    if annotations.proposals:
        boxes = torch.cat([sample.gt_instances.bboxes, _boxes(20, shape)])
        sample.proposals = InstanceData(bboxes=boxes, scores=torch.rand(len(boxes)))
    return {"inputs": _image(shape), "data_samples": sample}


def _video(shape: tuple[int, int], annotations: Annotations, count: int) -> dict:
    """Make two frames with the same objects: a key frame and a reference."""
    from mmdet.structures import TrackDataSample

    frames = [_annotated_image(shape, annotations, count) for _ in range(2)]
    for index, frame in enumerate(frames):
        instances = frame["data_samples"].gt_instances
        instances.instances_ids = torch.arange(count)
        frame["data_samples"].set_metainfo(
            dict(frame_id=index, ori_video_length=2, video_length=2, is_video_data=True)
        )
    sample = TrackDataSample(metainfo=dict(key_frames_inds=[0], ref_frames_inds=[1]))
    sample.video_data_samples = [frame["data_samples"] for frame in frames]
    return {"inputs": torch.stack([f["inputs"] for f in frames]), "data_samples": sample}


def _meta(shape: tuple[int, int]) -> dict:
    return dict(
        img_id=0,
        img_path="",
        img_shape=shape,
        # The original was twice as large, so that predictions have to be scaled back.
        ori_shape=(2 * shape[0], 2 * shape[1]),
        scale_factor=(0.5, 0.5),
        flip=False,
        flip_direction=None,
        border=np.zeros(4, np.float32),
        homography_matrix=np.eye(3, dtype=np.float32),
        text=ENTITIES,
        custom_entities=True,
    )


def _image(shape: tuple[int, int]) -> Tensor:
    return torch.randint(256, (3, *shape), dtype=torch.uint8)


def _instances(count: int, shape: tuple[int, int], annotations: Annotations) -> InstanceData:
    boxes = _boxes(count, shape)
    instances = InstanceData(bboxes=boxes, labels=torch.randint(annotations.num_classes, (count,)))
    if annotations.masks:
        instances.masks = _masks(boxes, shape, annotations.polygons)
    return instances


def _boxes(count: int, shape: tuple[int, int]) -> Tensor:
    """Make boxes (x1, y1, x2, y2) with sides from 10 pixels to 60% of the image's."""
    bounds = torch.tensor([shape[1], shape[0]])
    sides = 10 + torch.rand(count, 2) * (0.6 * bounds - 10)
    corners = torch.rand(count, 2) * (bounds - sides)
    return torch.cat([corners, corners + sides], dim=1)


def _masks(boxes: Tensor, shape: tuple[int, int], polygons: bool) -> BitmapMasks | PolygonMasks:
    """Fill each box: with an octagon as a polygon, with an ellipse as a bitmap."""
    from mmdet.structures.mask import BitmapMasks, PolygonMasks

    centers = (boxes[:, :2] + boxes[:, 2:]).numpy() / 2
    radii = (boxes[:, 2:] - boxes[:, :2]).numpy() / 2
    if polygons:
        angles = np.arange(8) * np.pi / 4
        circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        outlines = [[(c + r * circle).ravel()] for c, r in zip(centers, radii, strict=True)]
        return PolygonMasks(outlines, *shape)
    y, x = np.mgrid[: shape[0], : shape[1]]
    bitmaps = [
        ((x - c[0]) / r[0]) ** 2 + ((y - c[1]) / r[1]) ** 2 <= 1
        for c, r in zip(centers, radii, strict=True)
    ]
    return BitmapMasks(np.array(bitmaps, np.uint8).reshape(-1, *shape), *shape)
