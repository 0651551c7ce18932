"""Meta's files of ConvNeXt, ConvNeXt V2, DINOv3 and EUPE, and the files of this package.

Our names are Meta's. Sources: ConvNeXt ``models/convnext.py`` and ``convnext_isotropic.py``;
ConvNeXt-V2 ``models/convnextv2.py`` (where GRN is (1, 1, 1, 4C)); dinov3
``dinov3/models/convnext.py``, which keeps the final norm under two names.
"""

from __future__ import annotations

from convnext_dense.checkpoints.layouts.layout import Layout

RULES = {
    template: template
    for template in (
        "downsample_layers.0.0",
        "downsample_layers.0.1",
        "downsample_layers.{d}.0",
        "downsample_layers.{d}.1",
        "stages.{s}.{b}.dwconv",
        "stages.{s}.{b}.norm",
        "stages.{s}.{b}.pwconv1",
        "stages.{s}.{b}.grn.gamma",
        "stages.{s}.{b}.grn.beta",
        "stages.{s}.{b}.pwconv2",
        "stages.{s}.{b}.gamma",
        "norm{s}",
        "norm",
        "head",
    )
}
DECODER = {
    r"mask_token$": "decoder of FCMAE",
    r"(proj|decoder|pred)\.": "decoder of FCMAE",
}

META = Layout(
    "meta",
    RULES,
    unused={
        r"norms\.": "duplicate of the final norm",
        r"projectors\.": "heads of the distillation",
        **DECODER,
    },
    tower="encoder.",
    wrapper="model",
    shapes={"grn": (1, 1, 1, -1)},
    # An isotropic network by our own names, as this package saves it.
    forms=("staged", "isotropic"),
)
# Its one stage has no number.
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
