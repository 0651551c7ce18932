"""A segmenter of mmseg whose head is one of transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmseg.models import EncoderDecoder
from mmseg.models.segmentors.base import BaseSegmentor
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from convnext_dense.heads.transformers.configs import SEGMENTER, build_head
from convnext_dense.heads.transformers.gradients import reach_all


class TransformersSegmentor(EncoderDecoder):
    """Our backbone under a head that transformers maintains, for semantic segmentation.

    It predicts as mmseg's segmenters do, whole pictures or by a sliding window.

    Args:
        backbone: Config of the backbone, which says its ``out_channels`` and ``out_strides``.
        head: ``type`` (``mask2former`` or ``upernet``), ``num_classes``, and any key of the
            config that transformers has for it.
        data_preprocessor: As for mmseg's ``EncoderDecoder``.
        train_cfg: As for it; nothing is read.
        test_cfg: As for it; None predicts whole pictures.
        init_cfg: As for mmengine's ``BaseModule``.

    Raises:
        ImportError: If transformers is absent or too old.
        ValueError: If the head or a key of it is unknown, or a value does not fit.
    """

    def __init__(
        self,
        backbone: Mapping[str, Any],
        head: Mapping[str, Any],
        data_preprocessor: Mapping[str, Any] | None = None,
        train_cfg: Mapping[str, Any] | None = None,
        test_cfg: Mapping[str, Any] | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        # Not by mmseg's EncoderDecoder, which builds a head of its registry.
        BaseSegmentor.__init__(self, data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone)
        self.head, self.translation = build_head(head, self.backbone, SEGMENTER)
        self.num_classes = self.out_channels = self.head.config.num_labels
        self.align_corners = False
        self.train_cfg = train_cfg
        self.test_cfg = ConfigDict(test_cfg or dict(mode="whole"))

    def loss(self, inputs: Tensor, data_samples: Sequence[SegDataSample]) -> dict[str, Tensor]:
        """Return the losses of a batch (N, 3, H, W) by name."""
        labels = torch.stack([sample.gt_sem_seg.data.squeeze(0) for sample in data_samples])
        return reach_all(self.translation.losses(inputs, labels), self)

    def encode_decode(self, inputs: Tensor, batch_img_metas: Sequence[dict]) -> Tensor:
        """Return the score of each class at each position, (N, classes, H, W)."""
        return self.translation.scores(inputs)

    def _forward(
        self, inputs: Tensor, data_samples: Sequence[SegDataSample] | None = None
    ) -> Tensor:
        return self.translation.scores(inputs)
