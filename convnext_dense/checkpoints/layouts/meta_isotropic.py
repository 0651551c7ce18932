"""Meta's files of the isotropic ConvNeXt, whose one stage has no number.

Source: facebookresearch/ConvNeXt ``models/convnext_isotropic.py``.
"""

from __future__ import annotations

from convnext_dense.checkpoints.layouts.layout import Layout

META_ISOTROPIC = Layout(
    "meta isotropic",
    {
        "downsample_layers.0.0": "stem",
        "stages.{s}.{b}.dwconv": "blocks.{b}.dwconv",
        "stages.{s}.{b}.norm": "blocks.{b}.norm",
        "stages.{s}.{b}.pwconv1": "blocks.{b}.pwconv1",
        "stages.{s}.{b}.pwconv2": "blocks.{b}.pwconv2",
        "stages.{s}.{b}.gamma": "blocks.{b}.gamma",
        "norm": "norm",
        "head": "head",
    },
    wrapper="model",
    forms=("isotropic",),
)
