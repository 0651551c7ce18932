"""torchvision's ConvNeXt. Source: torchvision ``models/convnext.py``; layer scale is (C, 1, 1)."""

from __future__ import annotations

from convnext_dense.checkpoints.layouts.layout import Layout

TORCHVISION = Layout(
    "torchvision",
    {
        "downsample_layers.0.0": "features.0.0",
        "downsample_layers.0.1": "features.0.1",
        "downsample_layers.{d}.0": "features.{even}.0",
        "downsample_layers.{d}.1": "features.{even}.1",
        "stages.{s}.{b}.dwconv": "features.{odd}.{b}.block.0",
        "stages.{s}.{b}.norm": "features.{odd}.{b}.block.2",
        "stages.{s}.{b}.pwconv1": "features.{odd}.{b}.block.3",
        "stages.{s}.{b}.pwconv2": "features.{odd}.{b}.block.5",
        "stages.{s}.{b}.gamma": "features.{odd}.{b}.layer_scale",
        "norm": "classifier.0",
        "head": "classifier.2",
    },
    shapes={"layer_scale": (-1, 1, 1)},
)
