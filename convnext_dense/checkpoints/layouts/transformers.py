"""Hugging Face transformers: ConvNext, ConvNextV2, their Backbone classes, UperNet, DINOv3.

Sources: transformers ``models/convnext/modeling_convnext.py``, ``models/convnextv2/``,
``models/upernet/modeling_upernet.py`` and ``models/dinov3_convnext/``. GRN is (1, 1, 1, 4C); the
final norm adds 1e-12, the others 1e-6.
"""

from __future__ import annotations

from collections.abc import Collection

from convnext_dense.backbone.archs import Arch
from convnext_dense.checkpoints.layouts.layout import Layout


def find_prefix(arch: Arch, own: Collection[str]) -> str:
    """Return the prefix of a classifier; empty for Backbone classes, which have output norms."""
    if any(name.startswith("norm") and name[4].isdigit() for name in own):
        return ""
    return "convnextv2." if arch.grn else "convnext."


TRANSFORMERS = Layout(
    "transformers",
    {
        "downsample_layers.0.0": "embeddings.patch_embeddings",
        "downsample_layers.0.1": "embeddings.layernorm",
        "downsample_layers.{d}.0": "encoder.stages.{d}.downsampling_layer.0",
        "downsample_layers.{d}.1": "encoder.stages.{d}.downsampling_layer.1",
        "stages.{s}.{b}.dwconv": "encoder.stages.{s}.layers.{b}.dwconv",
        "stages.{s}.{b}.norm": "encoder.stages.{s}.layers.{b}.layernorm",
        "stages.{s}.{b}.pwconv1": "encoder.stages.{s}.layers.{b}.pwconv1",
        "stages.{s}.{b}.grn.gamma": "encoder.stages.{s}.layers.{b}.grn.weight",
        "stages.{s}.{b}.grn.beta": "encoder.stages.{s}.layers.{b}.grn.bias",
        "stages.{s}.{b}.pwconv2": "encoder.stages.{s}.layers.{b}.pwconv2",
        "stages.{s}.{b}.gamma": "encoder.stages.{s}.layers.{b}.layer_scale_parameter",
        "norm{s}": "hidden_states_norms.stage{next}",
        "norm": "layernorm",
        "head": "classifier",
    },
    prefix=find_prefix,
    bare=("head",),
    shapes={"grn": (1, 1, 1, -1)},
    # Of UperNetForSemanticSegmentation, whose modules are mmseg's.
    heads={
        r"^(decode_head|auxiliary_head)\.classifier\.": r"\1.conv_seg.",
        r"^((?:decode_head|auxiliary_head)\..*)\.batch_norm\.": r"\1.bn.",
    },
    final_norm_eps=1e-12,
)
# Meta's own files of DINOv3 have the layout of :mod:`.meta`.
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
