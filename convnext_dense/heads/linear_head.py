"""The linear head of mmseg that DINOv2 and DINOv3 evaluate frozen features with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmcv.cnn import build_norm_layer
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor


class LinearHead(BaseDecodeHead):
    """Dropout of channels, batch norm, and one linear layer for every position.

    mmseg's ``FCNHead`` has no norm without a convolution and an activation before its last layer.
    Source: facebookresearch/dinov3, ``dinov3/eval/segmentation/models/heads/linear_head.py``.

    Args:
        in_channels: Channels of the map, or of each map with ``input_transform='resize_concat'``.
        norm_cfg: The norm, as mmcv builds it.
        options: Further arguments of mmseg's ``BaseDecodeHead``, such as ``num_classes``,
            ``in_index`` and ``dropout_ratio``. ``channels`` are those of the input.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        norm_cfg: Mapping[str, Any] = dict(type="SyncBN"),
        **options: Any,
    ) -> None:
        channels = in_channels if isinstance(in_channels, int) else sum(in_channels)
        super().__init__(in_channels, channels, norm_cfg=dict(norm_cfg), **options)
        self.norm = build_norm_layer(self.norm_cfg, channels)[1]

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Compute the scores of each class, (N, classes, H, W), from a backbone's maps."""
        x = self._transform_inputs(inputs)
        if self.dropout is not None:
            x = self.dropout(x)
        return self.conv_seg(self.norm(x))
