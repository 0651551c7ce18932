"""Random input of the kind that a detector, a segmenter or a video model trains and predicts on.

The batches have the form in which mmdet's and mmseg's data loaders hand them to
``model.data_preprocessor``. The two images of a batch differ in size, and their sides
are odd, unless a model takes one size alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.structures import InstanceData, PixelData
from torch import Tensor, nn

# What the images of a training batch lack in height and width to the canvas.
MARGINS = ((1, 1), (5, 17))
INSTANCES = (4, 3)
IGNORED_LABEL = 255
ENTITIES = ("cat", "dog", "traffic light", "person")


@dataclass(frozen=True)
class Annotations:
    """What the annotations of a config look like.

    Attributes:
        num_classes: Classes of the instances, or of a segmenter's pixels.
        num_semantic_classes: Classes of a detector's semantic map; 0 where it takes none.
        polygons: Whether instance masks come as polygons, not as bitmaps.
        proposals: Whether the boxes to classify come with the image (Fast R-CNN).
        one_size: Whether images are resized to one size, that of the canvas (SSD).
    """

    num_classes: int
    num_semantic_classes: int = 0
    polygons: bool = False
    proposals: bool = False
    one_size: bool = False


def training_batch(model: nn.Module, annotations: Annotations, canvas: tuple[int, int]) -> dict:
    """Two annotated images, or two videos of two frames, for ``data_preprocessor(batch, True)``.

    Args:
        model: A detector, segmenter or video model as it was built.
        annotations: What is annotated.
        canvas: Height and width that the images are padded to where a model has a fixed size.

    Raises:
        TypeError: Where the model is of none of the three kinds.
    """
    make = _maker(model)
    samples = [
        make(_fit(canvas, annotations, margin), annotations, count)
        for margin, count in zip(MARGINS, INSTANCES, strict=True)
    ]
    return {key: [sample[key] for sample in samples] for key in ("inputs", "data_samples")}


def prediction_batch(model: nn.Module, annotations: Annotations, canvas: tuple[int, int]) -> dict:
    """One image, or one video, for ``data_preprocessor(batch, False)``.

    A segmenter that slides a window over the image gets one that takes several windows.
    """
    sliding = "slide" in ((getattr(model, "test_cfg", None) or {}).get("mode") or "")
    shape = _fit(canvas, annotations, (-15, -31) if sliding else MARGINS[0])
    sample = _maker(model)(shape, annotations, INSTANCES[0])
    return {key: [value] for key, value in sample.items()}


def walk(node: Any) -> Iterator[dict]:
    """Every dict in a tree of dicts, lists and tuples, parents first."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from walk(child)


def _fit(
    canvas: tuple[int, int], annotations: Annotations, margin: tuple[int, int]
) -> tuple[int, int]:
    return canvas if annotations.one_size else (canvas[0] - margin[0], canvas[1] - margin[1])


def _maker(model: nn.Module) -> Any:
    from mmdet.models import BaseDetector
    from mmdet.models.mot import BaseMOTModel

    if hasattr(model, "decode_head"):
        return _segmented_image
    if isinstance(model, BaseMOTModel):
        return _video
    if isinstance(model, BaseDetector):
        return _annotated_image
    raise TypeError(
        f"{type(model).__name__} is no detector, segmenter or video model of mmdet or mmseg: "
        "a trial cannot make input for it"
    )


def _segmented_image(shape: tuple[int, int], annotations: Annotations, count: int) -> dict:
    from mmseg.structures import SegDataSample

    labels = torch.randint(annotations.num_classes, (1, *shape))
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
    """Two frames of the same objects: a key frame and a reference."""
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
    return InstanceData(
        bboxes=boxes,
        labels=torch.randint(annotations.num_classes, (count,)),
        masks=_masks(boxes, shape, annotations.polygons),
    )


def _boxes(count: int, shape: tuple[int, int]) -> Tensor:
    """Boxes in (x1, y1, x2, y2) pixels, of 10 pixels to 60% of each side."""
    bounds = torch.tensor([shape[1], shape[0]])
    sides = 10 + torch.rand(count, 2) * (0.6 * bounds - 10)
    corners = torch.rand(count, 2) * (bounds - sides)
    return torch.cat([corners, corners + sides], dim=1)


def _masks(boxes: Tensor, shape: tuple[int, int], polygons: bool) -> Any:
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
