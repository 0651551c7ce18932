"""Denoising queries of the RT-DETR family that are those of one batch on all ranks.

transformers pads the queries to the most boxes of an image in the batch, and trains the padding
too; a batch without boxes gets none. With several ranks the number would differ between them, and
so would the gradients from those of one process with the joint batch.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from mmengine.dist import all_reduce
from torch import Tensor, nn
from transformers import PreTrainedModel

Labels = list[dict[str, Tensor]]


class Denoising:
    """Puts denoising queries before those of a head, in the place of transformers' own.

    Args:
        head: A model of the RT-DETR family, built with ``num_denoising`` above 0.

    Attributes:
        meta: transformers' ``denoising_meta_values`` of the last batch; None without queries.
    """

    def __init__(self, head: PreTrainedModel) -> None:
        self.meta: dict[str, Any] | None = None
        self._labels: Labels | None = None
        self._config = head.config
        self._model = head.model
        head.model.register_forward_pre_hook(self._take_labels, with_kwargs=True)
        head.model.decoder.register_forward_pre_hook(self._prepend, with_kwargs=True)

    @classmethod
    def of(cls, head: PreTrainedModel) -> Denoising | None:
        """Return the denoising of a head, or None if it has none."""
        return cls(head) if getattr(head.config, "num_denoising", 0) > 0 else None

    def _take_labels(
        self, model: nn.Module, args: tuple, kwargs: dict[str, Any]
    ) -> tuple[tuple, dict[str, Any]]:
        self.meta = None
        self._labels = kwargs.pop("labels", None) if model.training else None
        return args, dict(kwargs, labels=None)

    def _prepend(
        self, decoder: nn.Module, args: tuple, kwargs: dict[str, Any]
    ) -> tuple[tuple, dict[str, Any]] | None:
        if self._labels is None:
            return None
        labels, self._labels = self._labels, None
        made = self._make(labels)
        if made is None:
            return None
        classes, boxes, mask, self.meta = made
        kwargs = dict(
            kwargs,
            inputs_embeds=torch.cat([classes, kwargs["inputs_embeds"]], 1),
            reference_points=torch.cat([boxes.detach(), kwargs["reference_points"]], 1),
            encoder_attention_mask=mask,
        )
        return args, kwargs

    @torch.compiler.disable
    def _make(self, labels: Labels) -> tuple[Tensor, Tensor, Tensor, dict[str, Any]] | None:
        """Make the queries of a batch, for the most boxes of an image on any rank."""
        counts = [len(one["class_labels"]) for one in labels]
        widest = torch.tensor(max(counts), device=labels[0]["boxes"].device)
        all_reduce(widest, "max")
        most = int(widest)
        if most == 0:
            return None
        if max(counts) < most:  # one more image, whose queries are dropped below
            filler = labels[0]["boxes"]
            labels = [
                *labels,
                dict(
                    class_labels=filler.new_zeros(most, dtype=torch.long),
                    boxes=filler.new_full((most, 4), 0.5),
                ),
            ]
        config = self._config
        make = sys.modules[type(self._model).__module__].get_contrastive_denoising_training_group
        classes, boxes, mask, meta = make(
            targets=labels,
            num_classes=config.num_labels,
            num_queries=config.num_queries,
            class_embed=self._model.denoising_class_embed,
            num_denoising_queries=config.num_denoising,
            label_noise_ratio=config.label_noise_ratio,
            box_noise_scale=config.box_noise_scale,
        )
        images = len(counts)
        meta = dict(meta, dn_positive_idx=meta["dn_positive_idx"][:images])
        return classes[:images], boxes[:images], mask, meta
