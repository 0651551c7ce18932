"""DINOv3's ConvNeXt in transformers. Meta's own DINOv3 files have the layout of :mod:`.meta`.

Source: transformers ``models/dinov3_convnext/modeling_dinov3_convnext.py``.
"""

from __future__ import annotations

from convnext_dense.checkpoints.layouts.layout import Layout

DINOV3 = Layout(
    "transformers DINOv3",
    {
        "downsample_layers.0.0": "stages.0.downsample_layers.0",
        "downsample_layers.0.1": "stages.0.downsample_layers.1",
        "downsample_layers.{d}.0": "stages.{d}.downsample_layers.0",
        "downsample_layers.{d}.1": "stages.{d}.downsample_layers.1",
        "stages.{s}.{b}.dwconv": "stages.{s}.layers.{b}.depthwise_conv",
        "stages.{s}.{b}.norm": "stages.{s}.layers.{b}.layer_norm",
        "stages.{s}.{b}.pwconv1": "stages.{s}.layers.{b}.pointwise_conv1",
        "stages.{s}.{b}.pwconv2": "stages.{s}.layers.{b}.pointwise_conv2",
        "stages.{s}.{b}.gamma": "stages.{s}.layers.{b}.gamma",
        "norm": "layer_norm",
    },
    bare=("norm",),
)
