"""mmpretrain's ConvNeXt, alone or as the backbone of its classifiers and of mmdet and mmseg models.

Source: mmpretrain ``models/backbones/convnext.py``. Its classifiers store the final norm as the
output norm of the last stage.
"""

from __future__ import annotations

from convnext_dense.checkpoints.layouts.layout import Layout

MMPRETRAIN = Layout(
    "mmpretrain",
    {
        "downsample_layers.0.0": "downsample_layers.0.0",
        "downsample_layers.0.1": "downsample_layers.0.1",
        "downsample_layers.{d}.0": "downsample_layers.{d}.0",
        "downsample_layers.{d}.1": "downsample_layers.{d}.1",
        "stages.{s}.{b}.dwconv": "stages.{s}.{b}.depthwise_conv",
        "stages.{s}.{b}.norm": "stages.{s}.{b}.norm",
        "stages.{s}.{b}.pwconv1": "stages.{s}.{b}.pointwise_conv1",
        "stages.{s}.{b}.grn.gamma": "stages.{s}.{b}.grn.gamma",
        "stages.{s}.{b}.grn.beta": "stages.{s}.{b}.grn.beta",
        "stages.{s}.{b}.pwconv2": "stages.{s}.{b}.pointwise_conv2",
        "stages.{s}.{b}.gamma": "stages.{s}.{b}.gamma",
        "norm{s}": "norm{s}",
        "head": "head.fc",
    },
    wrapper="state_dict",
    prefix=lambda arch, own: "backbone.",
    bare=("head",),
    final_norm_is_last=True,
)
