"""timm's ConvNeXt: classifiers, ``features_only`` backbones, and CLIP's image towers in open_clip.

Sources: timm ``models/convnext.py``, ``models/_features.py`` (which flattens the names);
mlfoundations/open_clip ``timm_model.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from convnext_dense.backbone.archs import ARCHS, Arch
from convnext_dense.checkpoints.layouts.layout import Layout

if TYPE_CHECKING:
    from torch import Tensor

RULES = {
    "downsample_layers.0.0": "stem.0",
    "downsample_layers.0.1": "stem.1",
    "downsample_layers.{d}.0": "stages.{d}.downsample.0",
    "downsample_layers.{d}.1": "stages.{d}.downsample.1",
    "stages.{s}.{b}.dwconv": "stages.{s}.blocks.{b}.conv_dw",
    "stages.{s}.{b}.norm": "stages.{s}.blocks.{b}.norm",
    "stages.{s}.{b}.pwconv1": "stages.{s}.blocks.{b}.mlp.fc1",
    "stages.{s}.{b}.grn.gamma": "stages.{s}.blocks.{b}.mlp.grn.weight",
    "stages.{s}.{b}.grn.beta": "stages.{s}.blocks.{b}.mlp.grn.bias",
    "stages.{s}.{b}.pwconv2": "stages.{s}.blocks.{b}.mlp.fc2",
    "stages.{s}.{b}.gamma": "stages.{s}.blocks.{b}.gamma",
    "norm": "head.norm",
    "head": "head.fc",
}
# `features_only` names the children of `stem` and `stages` as its own.
FLAT_RULES = {
    ours: theirs.replace("stem.", "stem_").replace("stages.", "stages_")
    for ours, theirs in RULES.items()
    if ours not in ("norm", "head")
}
CONV_MLP = {ARCHS[v + size] for size in ("atto", "femto", "pico", "nano") for v in ("", "v2_")}
# timm's own architectures that use another eps than 1e-6 in layer norm; some use another GELU.
OTHER_EPS: dict[tuple[tuple[int, ...], tuple[int, ...]], str] = {
    ((3, 4, 30, 3), (384, 768, 1536, 3072)): "convnext_xxlarge",
    ((1, 2, 4, 2), (24, 32, 48, 64)): "test_convnext",
    ((1, 1, 1, 1), (32, 64, 96, 128)): "test_convnext2",
}


def find_obstacle(state: Mapping[str, Tensor], arch: Arch) -> str | None:
    """Return why a variant of timm's is another network than ours, or None."""
    stems = [name for name in state if name.startswith(("stem.", "stem_"))]
    if len(stems) > 4 or any(state[name].shape[2:] == (3, 3) for name in stems):
        return "it has timm's overlapping stem (_ols) of two convolutions"
    if any(
        name.endswith(".norm.weight") and f"{name.removesuffix('weight')}bias" not in state
        for name in state
    ):
        return "its norms have no bias: timm's _rms variants do not use layer norm"
    if (arch.depths, arch.channels) in OTHER_EPS:
        name = OTHER_EPS[arch.depths, arch.channels]
        return (
            f"timm's {name} adds 1e-5 in its layer norms where this backbone adds 1e-6, which "
            "changes features by about 2e-4 of their size"
        )
    return None


TIMM = Layout(
    "timm",
    RULES,
    unused={
        r"norm_pre\.": "final norm",
        r"head\.pre_logits\.": "classifier",
        r"visual\.head\.": "projection of CLIP",
        r"(transformer|text|token_embedding|ln_final|positional_embedding|text_projection"
        r"|logit_scale|logit_bias|attn_mask)\b": "text tower of CLIP",
    },
    tower="visual.trunk.",
    conv_mlp=lambda arch: arch in CONV_MLP,
    obstacle=find_obstacle,
)
TIMM_FEATURES = Layout(
    "timm features_only",
    FLAT_RULES,
    conv_mlp=TIMM.conv_mlp,
    obstacle=find_obstacle,
)
