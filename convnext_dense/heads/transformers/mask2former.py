"""transformers' Mask2Former: the labels of objects or classes, their losses, and what is found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce, get_world_size
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor
from transformers import Mask2FormerForUniversalSegmentation
from transformers.models.mask2former.modeling_mask2former import Mask2FormerLoss
from transformers.utils import ModelOutput

Labels = list[Tensor]


class RankMask2FormerLoss(Mask2FormerLoss):
    """The losses of one rank, such that their mean over the ranks is that of the joint batch.

    transformers averages the number of masks over the ranks only under accelerate, and the weights
    of its weighted cross-entropy never. It computes in float32 under autocast, too, since the
    matcher's costs pass through numpy.
    """

    @torch.compiler.disable
    def forward(
        self,
        masks_queries_logits: Tensor,
        class_queries_logits: Tensor,
        mask_labels: Labels,
        class_labels: Labels,
        auxiliary_predictions: Sequence[dict[str, Tensor]] | None = None,
    ) -> dict[str, Tensor]:
        """Return the losses by name, as transformers does."""
        with torch.autocast(masks_queries_logits.device.type, enabled=False):
            return super().forward(
                masks_queries_logits.float(),
                class_queries_logits.float(),
                mask_labels,
                class_labels,
                auxiliary_predictions,
            )

    def get_num_masks(self, class_labels: Labels, device: torch.device) -> Tensor:
        """Return the number of masks of a rank in the mean, at least one in all of them."""
        count = torch.tensor(float(sum(map(len, class_labels))), device=device)
        all_reduce(count)
        return count.clamp(min=1) / get_world_size()

    def loss_labels(
        self, class_queries_logits: Tensor, class_labels: Labels, indices: list
    ) -> dict[str, Tensor]:
        """Return the cross-entropy of the classes, over the mean weight of the ranks."""
        losses = super().loss_labels(class_queries_logits, class_labels, indices)
        matched = sum(len(queries) for queries, _ in indices)
        unmatched = class_queries_logits.shape[:2].numel() - matched
        weight = class_queries_logits.new_tensor(matched + self.eos_coef * unmatched)
        mean = weight.clone()
        all_reduce(mean, "mean")
        return {name: loss * (weight / mean) for name, loss in losses.items()}


def set_losses(head: Mask2FormerForUniversalSegmentation) -> None:
    """Let a head compute the losses of all ranks, and return them by name instead of their sum."""
    head.criterion = RankMask2FormerLoss(head.config, head.weight_dict)
    head.get_loss = dict


class InstanceMasks:
    """Instances of mmdet: each has a mask, whose box is the smallest around it.

    Args:
        head: The model of transformers, whose losses become those of all ranks.
    """

    positions_key = None

    def __init__(self, head: Mask2FormerForUniversalSegmentation) -> None:
        self._config = head.config
        set_losses(head)

    def targets(self, samples: Sequence[BaseDataElement], images: Tensor) -> dict[str, Any]:
        """Return masks (objects, H, W) and classes (objects,) of each image (N, C, H, W)."""
        masks = [_masks(sample.gt_instances, images) for sample in samples]
        classes = [sample.gt_instances.labels.to(images.device, torch.long) for sample in samples]
        return dict(mask_labels=masks, class_labels=classes)

    def losses(self, outputs: ModelOutput) -> dict[str, Tensor]:
        """Return the losses that the head computed, by their names in transformers."""
        return outputs.loss

    def results(
        self,
        outputs: ModelOutput,
        samples: Sequence[BaseDataElement],
        images: Tensor,
        rescale: bool,
        most: int | None,
    ) -> list[InstanceData]:
        """Return masks, boxes, scores and labels of each image, the highest score first.

        The scores are transformers', but masks are made in the size of the image and not in 384 x
        384. Arguments as for :class:`~convnext_dense.heads.transformers.translation.Translation`.
        """
        masks = resized(outputs.masks_queries_logits.float(), images.shape[-2:])
        classes = outputs.class_queries_logits.float()
        return [
            self._found(one, scores, sample, rescale, most)
            for one, scores, sample in zip(masks, classes, samples, strict=True)
        ]

    def _found(
        self,
        masks: Tensor,
        classes: Tensor,
        sample: BaseDataElement,
        rescale: bool,
        most: int | None,
    ) -> InstanceData:
        from mmdet.models import MaskFormerFusionHead

        height, width = sample.metainfo["img_shape"][:2]
        masks = masks[:, :height, :width]
        if rescale:
            masks = resized(masks[None], sample.metainfo["ori_shape"][:2])[0]
        number = self._config.num_labels
        limit = min(most or len(classes), len(classes) * number)
        fusion = MaskFormerFusionHead(number, 0, test_cfg=dict(max_per_image=limit))
        found = fusion.instance_postprocess(classes, masks)
        return found[found.scores.argsort(descending=True)]


def _masks(truth: InstanceData, images: Tensor) -> Tensor:
    if "masks" not in truth:
        raise ValueError(
            "the head mask2former needs masks, and the data gives none: set with_mask=True in "
            "LoadAnnotations, or take a head of boxes such as rt_detr_v2"
        )
    masks = truth.masks.to_tensor(torch.float32, images.device)
    height, width = images.shape[-2:]
    return F.pad(masks, (0, width - masks.shape[-1], 0, height - masks.shape[-2]))


def masks_of_classes(label_map: Tensor, ignored: int) -> tuple[Tensor, Tensor]:
    """Return one mask for each class in a label map, and the classes.

    Args:
        label_map: (H, W).
        ignored: The label of no class; its positions are in no mask.

    Returns:
        Masks (classes, H, W) of 0 and 1, and classes (classes,).
    """
    classes = label_map.unique()
    classes = classes[classes != ignored]
    return (label_map == classes[:, None, None]).float(), classes.long()


def resized(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Return maps (N, C, H, W) in another height and width."""
    return F.interpolate(maps, tuple(size), mode="bilinear", align_corners=False)
