"""Translate boxes, labels and sizes between mmdet and the box heads of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import transformers
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_xyxy_to_cxcywh, get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from convnext_dense.heads.transformers.box_losses import BoxLoss
from convnext_dense.heads.transformers.denoising import Denoising
from convnext_dense.heads.transformers.translation import Size, image_sizes


class ImageBoxes:
    """Boxes of Deformable DETR, which is told the padding: they are relative to each image.

    Args:
        head: The model of transformers, whose loss becomes one of all ranks.
    """

    processor = "DeformableDetrImageProcessorPil"
    positions_key: str | None = "two_stage_num_proposals"

    def __init__(self, head: PreTrainedModel) -> None:
        if not getattr(head.config, "two_stage", True):  # it learns its queries
            self.positions_key = None
        self._processor = getattr(transformers, self.processor)()
        self._denoising = Denoising.of(head)
        head.loss_function = BoxLoss(head, self._denoising)

    def _sizes(self, samples: Sequence[DetDataSample], images: Tensor) -> list[Size]:
        """Return height and width of what the boxes of each image are relative to."""
        return image_sizes(samples)

    def targets(self, samples: Sequence[DetDataSample], images: Tensor) -> dict[str, Any]:
        """Return the argument ``labels`` of the head: classes and relative boxes of each image."""
        labels = []
        for sample, (height, width) in zip(samples, self._sizes(samples, images), strict=True):
            truth = sample.gt_instances
            boxes = get_box_tensor(truth.bboxes).to(images.device, torch.float32)
            scale = boxes.new_tensor([width, height, width, height])
            labels.append(
                dict(
                    class_labels=truth.labels.to(images.device, torch.long),
                    boxes=bbox_xyxy_to_cxcywh(boxes / scale),
                )
            )
        return dict(labels=labels)

    def losses(self, outputs: ModelOutput) -> dict[str, Tensor]:
        """Return the losses that the head computed, by their names in transformers."""
        return dict(outputs.loss_dict)

    def results(
        self,
        outputs: ModelOutput,
        samples: Sequence[DetDataSample],
        images: Tensor,
        rescale: bool,
        most: int | None,
    ) -> list[InstanceData]:
        """Return boxes in pixels, scores and labels of each image; see :class:`.Translation`."""
        sizes = []
        for sample, (height, width) in zip(samples, self._sizes(samples, images), strict=True):
            across, down = sample.metainfo.get("scale_factor", (1, 1)) if rescale else (1, 1)
            sizes.append((height / down, width / across))
        scale = torch.tensor(sizes, dtype=torch.float32, device=images.device)
        outputs = type(outputs)(
            logits=outputs.logits.float(), pred_boxes=outputs.pred_boxes.float()
        )
        return [
            InstanceData(bboxes=one["boxes"], scores=one["scores"], labels=one["labels"])
            for one in self._post_process(outputs, scale, most)
        ]

    def _post_process(
        self, outputs: ModelOutput, sizes: Tensor, most: int | None
    ) -> list[dict[str, Tensor]]:
        """Let transformers choose boxes and scores."""
        chosen = {} if most is None else dict(top_k=most)
        return self._processor.post_process_object_detection(
            outputs, threshold=-1.0, target_sizes=sizes, **chosen
        )


class CanvasBoxes(ImageBoxes):
    """Boxes of the RT-DETR family, which sees no padding: they are relative to the padded batch.

    These heads place their anchors over whole maps and ignore ``pixel_mask``.
    """

    processor = "RTDetrImageProcessorPil"
    positions_key = "num_queries"

    def _sizes(self, samples: Sequence[DetDataSample], images: Tensor) -> list[Size]:
        height, width = images.shape[-2:]
        return [(height, width)] * len(samples)

    def _post_process(
        self, outputs: ModelOutput, sizes: Tensor, most: int | None
    ) -> list[dict[str, Tensor]]:
        found = self._processor.post_process_object_detection(
            outputs, threshold=-1.0, target_sizes=sizes
        )
        return [{name: values[:most] for name, values in one.items()} for one in found]
