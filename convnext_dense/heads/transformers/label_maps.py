"""Translate label maps for transformers' semantic segmenters, and their outputs into scores."""

from __future__ import annotations

from typing import Protocol

import torch.nn.functional as F
from mmengine.dist import all_reduce
from torch import Tensor, nn
from transformers import Mask2FormerForUniversalSegmentation, UperNetForSemanticSegmentation

from convnext_dense.heads.transformers.mask2former import masks_of_classes, resized, set_losses


class LabelMaps(Protocol):
    """What a segmenter asks of a model of transformers."""

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return the losses by name.

        Args:
            images: (N, 3, H, W).
            labels: Class of each position (N, H, W), or the ignored label.
        """

    def scores(self, images: Tensor) -> Tensor:
        """Return the score of each class at each position, (N, classes, H, W)."""


class QueryLabelMaps:
    """Mask2Former: each query has a class and a mask, and the classes of a picture are objects."""

    def __init__(self, model: Mask2FormerForUniversalSegmentation) -> None:
        self.model = model
        set_losses(model)

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """See :class:`LabelMaps`."""
        objects = [masks_of_classes(one, self.model.config.ignore_value) for one in labels]
        masks, classes = zip(*objects, strict=True)
        return self.model(images, mask_labels=list(masks), class_labels=list(classes)).loss

    def scores(self, images: Tensor) -> Tensor:
        """See :class:`LabelMaps`."""
        outputs = self.model(images)
        masks = resized(outputs.masks_queries_logits, images.shape[-2:]).sigmoid()
        classes = outputs.class_queries_logits.softmax(-1)[..., :-1]  # the last is "no object"
        return (classes.transpose(1, 2) @ masks.flatten(2)).unflatten(2, masks.shape[2:])


class PixelLabelMaps:
    """UperNet: each position has a score for each class."""

    def __init__(self, model: UperNetForSemanticSegmentation) -> None:
        self.model = model

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """See :class:`LabelMaps`."""
        maps = self.model.backbone(images).feature_maps
        config = self.model.config
        # transformers divides by the labels of this process, which may have none.
        count = (labels != config.loss_ignore_index).sum().float()
        all_reduce(count, "mean")

        def loss(head: nn.Module) -> Tensor:
            scores = resized(head(maps).float(), images.shape[-2:])
            ignored = config.loss_ignore_index
            total = F.cross_entropy(scores, labels, ignore_index=ignored, reduction="sum")
            return total / count.clamp(min=1)

        losses = {"decode.loss_ce": loss(self.model.decode_head)}
        if self.model.auxiliary_head is not None:
            weight = config.auxiliary_loss_weight
            losses["aux.loss_ce"] = weight * loss(self.model.auxiliary_head)
        return losses

    def scores(self, images: Tensor) -> Tensor:
        """See :class:`LabelMaps`."""
        # Not by the model's forward, which also runs the head that only training uses.
        maps = self.model.backbone(images).feature_maps
        return resized(self.model.decode_head(maps), images.shape[-2:])
