"""ConvNeXt V2 as its own FCMAE pre-training saves it: sparse convolutions of MinkowskiEngine.

The files that Meta released are dense and have the layout of :mod:`.meta`. Source:
facebookresearch/ConvNeXt-V2, ``models/convnextv2_sparse.py`` and ``fcmae.py``.
"""

from __future__ import annotations

from convnext_dense.checkpoints.layouts.layout import Layout
from convnext_dense.checkpoints.layouts.meta import DECODER

FCMAE = Layout(
    "fcmae",
    {
        # The stem reads the whole image, so it is dense.
        "downsample_layers.0.0": "downsample_layers.0.0",
        "downsample_layers.0.1": "downsample_layers.0.1",
        "downsample_layers.{d}.0": "downsample_layers.{d}.0.ln",
        "downsample_layers.{d}.1.weight": "downsample_layers.{d}.1.kernel",
        "downsample_layers.{d}.1.bias": "downsample_layers.{d}.1.bias",
        "stages.{s}.{b}.dwconv.weight": "stages.{s}.{b}.dwconv.kernel",
        "stages.{s}.{b}.dwconv.bias": "stages.{s}.{b}.dwconv.bias",
        "stages.{s}.{b}.norm": "stages.{s}.{b}.norm.ln",
        "stages.{s}.{b}.pwconv1": "stages.{s}.{b}.pwconv1.linear",
        "stages.{s}.{b}.grn.gamma": "stages.{s}.{b}.grn.gamma",
        "stages.{s}.{b}.grn.beta": "stages.{s}.{b}.grn.beta",
        "stages.{s}.{b}.pwconv2": "stages.{s}.{b}.pwconv2.linear",
    },
    unused=DECODER,
    tower="encoder.",
    wrapper="model",
)
