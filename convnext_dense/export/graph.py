"""What is exported: a model with all that stands before and after its network.

The outputs are those that :mod:`convnext_dense_runtime.metadata` lists.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from convnext_dense_runtime.label_maps import slide
from convnext_dense_runtime.results import Detections, Segmentation

if TYPE_CHECKING:
    from mmengine.model import BaseModel

INPUT = "image"
# Runs an exported model: input in, outputs out.
Run = Callable[[np.ndarray], Sequence[np.ndarray]]


class Graph(nn.Module):
    """A model from the values of a picture to its results; subclasses say which.

    Args:
        model: A detector or segmenter in evaluation mode.

    Attributes:
        outputs: Names of the outputs.
        free: The free dimensions of outputs that have some, by the output's name.
    """

    outputs: tuple[str, ...]
    free: dict[str, dict[int, str]] = {}

    def __init__(self, model: BaseModel) -> None:
        super().__init__()
        self.model = model

    @abstractmethod
    def reference(self, image: Tensor) -> Detections | Segmentation:
        """Return what the model finds in a picture (1, C, H, W), by upstream's code alone."""

    @abstractmethod
    def read(
        self, outputs: Sequence[np.ndarray], size: tuple[int, int]
    ) -> Detections | Segmentation:
        """Return what outputs of the graph say about a picture of (height, width)."""

    def doubtful(
        self,
        outputs: Sequence[np.ndarray],
        size: tuple[int, int],
        margin: float,
        boxes: np.ndarray,
    ) -> np.ndarray:
        """Return the pixels of masks that may be on either side of the threshold, (N, H, W).

        Args:
            outputs: Of the graph.
            size: (height, width) of the picture.
            margin: How near to the threshold they are.
            boxes: (N, 4), equally good ones: a mask on the grid of a thin box moves with it.
        """
        raise NotImplementedError  # only of detectors with masks

    def outputs_of(self, run: Run, image: np.ndarray) -> list[np.ndarray]:
        """Return the outputs for a picture (1, C, H, W), in windows if the model slides them."""
        return [np.asarray(output) for output in run(image)]

    def prepare(self, image: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Normalise and pad a picture (1, C, H, W), and return it with what mm* say about it."""
        preprocessor: Any = self.model.data_preprocessor
        height, width = image.shape[2:]
        x = image.flip(1) if swaps_channels(preprocessor) and image.shape[1] == 3 else image
        if preprocessor._enable_normalize:
            x = (x - preprocessor.mean) / preprocessor.std
        divisor, value = padding(preprocessor)
        if divisor > 1:
            below, right = -height % divisor, -width % divisor
            x = functional.pad(x, (0, right, 0, below), value=value)
        padded = x.shape[2:]
        return x, dict(
            img_shape=(height, width),
            ori_shape=(height, width),
            pad_shape=tuple(padded),
            batch_input_shape=tuple(padded),
            scale_factor=(1.0, 1.0),
        )


def swaps_channels(preprocessor: Any) -> bool:  # noqa: ANN401  of mmdet or mmseg
    """Whether a data preprocessor turns BGR into RGB."""
    names = ("_channel_conversion", "channel_conversion")  # mmdet's and mmseg's
    return any(getattr(preprocessor, name, False) for name in names)


def padding(preprocessor: Any) -> tuple[int, float]:  # noqa: ANN401  of mmdet or mmseg
    """Return the divisor of padded sizes in prediction, and the value of the border."""
    if hasattr(preprocessor, "pad_size_divisor"):  # mmdet's
        return int(preprocessor.pad_size_divisor), float(preprocessor.pad_value)
    options = preprocessor.test_cfg or {}  # mmseg's
    return int(options.get("size_divisor") or 1), float(preprocessor.pad_val)


def mask_kind(model: Any) -> str | None:  # noqa: ANN401  a detector
    """Return what the masks of a detector are, as :class:`Metadata` names it, or None."""
    if model.with_mask:
        return "box"
    heads = (getattr(model, name, None) for name in ("panoptic_head", "bbox_head", "head"))
    # Mask2Former and its kin of mmdet, RTMDet-Ins, transformers' Mask2Former
    parts = ("mask_embed", "mask_head", "class_predictor")
    has_masks = any(hasattr(head, part) for head in heads for part in parts)
    return "picture" if has_masks else None


def mask_family(model: Any) -> str | None:  # noqa: ANN401  a detector with masks
    """Return how its masks become objects, as :class:`Metadata` names it, or None."""
    if mask_kind(model) == "box":
        return None
    return "rtmdet" if hasattr(model, "bbox_head") else "mask2former"


def mask_threshold(model: Any, more: float = 0.0) -> float:  # noqa: ANN401  a detector with masks
    """Return the value above which a pixel belongs to an object: see :class:`Metadata`.

    Args:
        model: The detector.
        more: Added to the threshold's probability.
    """
    if mask_kind(model) == "box":
        return float(model.test_cfg.rcnn.mask_thr_binary) + more
    # What is compared is a logit.
    probability = float((model.test_cfg or {}).get("mask_thr_binary", 0.5)) + more
    return math.log(probability / (1 - probability))


class DetectorGraph(Graph):
    """A detector: boxes, scores and labels of a fixed number of objects, and perhaps masks."""

    def __init__(self, model: BaseModel) -> None:
        super().__init__(model)
        self.masks = mask_kind(model)
        self.outputs = ("boxes", "scores", "labels", *(["masks"] if self.masks else []))
        if self.masks == "picture":
            self.free = {"masks": {1: "height", 2: "width"}}

    def forward(self, image: Tensor) -> Sequence[Tensor]:
        """Return boxes (N, 4), scores (N,), labels (N,) and perhaps masks (N, h, w)."""
        from mmdet.structures import DetDataSample

        x, about = self.prepare(image)
        sample = DetDataSample()
        for key, value in about.items():
            # Not set_metainfo, whose deep copy a trace cannot follow.
            sample.set_field(value, key, field_type="metainfo")
        found = self.model.predict(x, [sample], rescale=False)[0].pred_instances
        boxes = [found.bboxes, found.scores, found.labels]
        return [*boxes, found.masks] if "masks" in self.outputs else boxes

    def reference(self, image: Tensor) -> Detections:
        """Return what mmdet finds in a picture (1, C, H, W)."""
        from mmdet.structures import DetDataSample

        size = tuple(image.shape[2:])
        about = dict(img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0))
        batch = dict(inputs=[image[0]], data_samples=[DetDataSample(metainfo=about)])
        with torch.no_grad():
            found = self.model.test_step(batch)[0].pred_instances.cpu()
        masks = found.get("masks")
        return Detections(
            found.bboxes.float().numpy(),  # under autocast they are bfloat16
            found.scores.float().numpy(),
            found.labels.numpy(),
            None if masks is None else np.asarray(masks, bool),
            (),
        )

    def read(self, outputs: Sequence[np.ndarray], size: tuple[int, int]) -> Detections:
        """Return the detections in outputs, with masks in the size of the picture."""
        there = outputs[1] > 0
        boxes, scores, labels, *masks = (output[there] for output in outputs)
        pasted = self._paste(masks[0], boxes, size, 0.0) if masks else None
        return Detections(boxes, scores, labels, pasted, ())

    def doubtful(
        self,
        outputs: Sequence[np.ndarray],
        size: tuple[int, int],
        margin: float,
        boxes: np.ndarray,
    ) -> np.ndarray:
        """Return the pixels of masks at the threshold, as the method that this overrides."""
        there = outputs[1] > 0
        pasted = [
            self._paste(outputs[3][there], places, size, above)
            for places in (outputs[0][there], boxes)
            for above in (-margin, margin)
        ]
        return np.logical_or.reduce(pasted) & ~np.logical_and.reduce(pasted)

    def _paste(
        self, masks: np.ndarray, boxes: np.ndarray, size: tuple[int, int], above: float
    ) -> np.ndarray:
        """Return which pixels are this far above the threshold, (N, H, W)."""
        from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask

        threshold = mask_threshold(self.model, above)
        if self.masks == "picture":
            return masks > threshold
        pasted = np.zeros((len(boxes), *size), bool)
        for number, (mask, box) in enumerate(zip(masks, boxes, strict=True)):
            values = torch.from_numpy(mask)[None, None], torch.from_numpy(box)[None]
            part, place = _do_paste_mask(*values, *size, skip_empty=True)
            pasted[number][place] = (part[0] >= threshold).numpy()
        return pasted


class SegmentorGraph(Graph):
    """A segmenter: the logits of every pixel."""

    outputs = ("logits",)
    free = {"logits": {2: "height", 3: "width"}}

    def forward(self, image: Tensor) -> Sequence[Tensor]:
        """Return logits (1, K, H, W)."""
        x, about = self.prepare(image)
        logits = self.model.encode_decode(x, [about])
        if padding(self.model.data_preprocessor)[0] > 1:  # else they would only be copied
            height, width = about["img_shape"]
            logits = logits[:, :, :height, :width]
        return [logits]

    def reference(self, image: Tensor) -> Segmentation:
        """Return what mmseg finds in a picture (1, C, H, W)."""
        from mmseg.structures import SegDataSample

        size = tuple(image.shape[2:])
        about = dict(img_shape=size, ori_shape=size)
        batch = dict(inputs=[image[0]], data_samples=[SegDataSample(metainfo=about)])
        with torch.no_grad():
            labels = self.model.test_step(batch)[0].pred_sem_seg.data[0]
        return Segmentation(labels.cpu().numpy().astype(np.uint8), ())

    def outputs_of(self, run: Run, image: np.ndarray) -> list[np.ndarray]:
        """Return the logits of a picture (1, C, H, W), in windows if the model slides them."""
        windows = sliding_window(self.model.test_cfg)
        if windows is None:
            return super().outputs_of(run, image)
        return [slide(lambda batch: run(batch)[0], image[0], windows, 1)[None]]

    def read(self, outputs: Sequence[np.ndarray], size: tuple[int, int]) -> Segmentation:
        """Return the label map of logits."""
        logits = torch.from_numpy(outputs[0][0])
        if len(logits) == 1:
            labels = logits[0].sigmoid() > binary_threshold(self.model)
        else:
            labels = logits.argmax(0)
        return Segmentation(labels.numpy().astype(np.uint8), ())


def binary_threshold(model: Any) -> float:  # noqa: ANN401  a segmenter
    """Return the probability above which a pixel of a single channel is of the class."""
    head = getattr(model, "decode_head", None)
    last = head[-1] if isinstance(head, nn.ModuleList) else head
    return float(getattr(last, "threshold", None) or 0)  # None where there are several channels


def sliding_window(test_cfg: Mapping[str, Any] | None) -> tuple[int, int, int, int] | None:
    """Return height and width of a segmenter's window and of its stride, or None."""
    if not test_cfg or test_cfg.get("mode") != "slide":
        return None
    (height, width), (down, right) = test_cfg["crop_size"], test_cfg["stride"]
    return int(height), int(width), int(down), int(right)


def make_graph(model: BaseModel) -> Graph:
    """Return what is exported of a model."""
    graph = DetectorGraph(model) if hasattr(model, "with_mask") else SegmentorGraph(model)
    # The exporter would put the model into the graph's mode at its end.
    return graph.eval()
