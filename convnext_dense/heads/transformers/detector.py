"""A detector of mmdet whose head is a model of transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from mmdet.models.detectors.base import BaseDetector
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from torch import Tensor

from convnext_dense.heads.transformers.configs import DETECTOR, build_head
from convnext_dense.heads.transformers.gradients import reach_all


class TransformersDetector(BaseDetector):
    """A detector of transformers over one of our backbones.

    Args:
        backbone: A backbone that says its ``out_channels`` and ``out_strides``, such as
            ``dict(type='ConvNeXt', arch='tiny', out_indices=(1, 2, 3))``.
        head: ``type`` is one of :data:`~convnext_dense.heads.transformers.configs.HEADS`,
            ``num_classes`` is 80 by default, and the other keys are those of its config class in
            transformers.
        train_cfg: Not used; configs of mmdet have it.
        test_cfg: ``max_per_img`` is the most results of an image; by default what transformers
            returns: all queries, or 100 of ``deformable_detr``.
        data_preprocessor: As for every detector of mmdet.
        init_cfg: As for every detector of mmdet.

    Raises:
        ImportError: If transformers is absent or too old.
        ValueError: If the head or a key is unknown, or a value does not fit.
    """

    def __init__(
        self,
        backbone: Mapping[str, Any],
        head: Mapping[str, Any],
        train_cfg: Mapping[str, Any] | None = None,
        test_cfg: Mapping[str, Any] | None = None,
        data_preprocessor: Mapping[str, Any] | None = None,
        init_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.train_cfg = train_cfg
        self.test_cfg = test_cfg
        self.backbone = MODELS.build(backbone)
        self.head, self.translation = build_head(head, self.backbone, DETECTOR)
        if key := self.translation.positions_key:
            # Here, since these import transformers.
            from convnext_dense.heads.transformers.backbone import put_backbone
            from convnext_dense.heads.transformers.translation import check_positions

            check = partial(check_positions, config=self.head.config, key=key)
            put_backbone(self.head, self.backbone, check)

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the backbone's maps of images (N, C, H, W)."""
        return self.backbone(batch_inputs)

    def loss(
        self, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample]
    ) -> dict[str, Tensor]:
        """Return the losses of a batch by their names in transformers; their sum is its total."""
        targets = self.translation.targets(batch_data_samples, batch_inputs)
        outputs = self._run(batch_inputs, batch_data_samples, targets)
        return reach_all(self.translation.losses(outputs), self)

    def predict(
        self,
        batch_inputs: Tensor,
        batch_data_samples: Sequence[DetDataSample],
        rescale: bool = True,
    ) -> list[DetDataSample]:
        """Put what is found into ``pred_instances`` of each sample, the highest score first.

        Args:
            batch_inputs: Images (N, C, H, W), padded on the right and at the bottom.
            batch_data_samples: ``img_shape`` is the size without padding.
            rescale: Whether boxes are those in the original images.
        """
        most = (self.test_cfg or {}).get("max_per_img")
        outputs = self._run(batch_inputs, batch_data_samples)
        results = self.translation.results(
            outputs, batch_data_samples, batch_inputs, rescale=rescale, most=most
        )
        return self.add_pred_to_datasample(batch_data_samples, results)

    def _forward(
        self,
        batch_inputs: Tensor,
        batch_data_samples: Sequence[DetDataSample] | None = None,
    ) -> Any:  # noqa: ANN401
        """Return what the head of transformers returns."""
        return self._run(batch_inputs, batch_data_samples)

    def _run(
        self,
        images: Tensor,
        samples: Sequence[DetDataSample] | None,
        targets: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        from convnext_dense.heads.transformers.translation import pixel_mask

        mask = None if samples is None else pixel_mask(samples, images)
        return self.head(images, pixel_mask=mask, **(targets or {}))
