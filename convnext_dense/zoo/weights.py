"""The published weights of the backbone.

Sources: facebookresearch/ConvNeXt and facebookresearch/ConvNeXt-V2, ``README.md``; timm's
``convnext.py`` for atto to nano without GRN.
"""

from __future__ import annotations

from convnext_dense.backbone.archs import ARCHS, Arch

OFFICIAL = "https://dl.fbaipublicfiles.com/convnext/"
OFFICIAL_V2 = f"{OFFICIAL}convnextv2/"
TIMM = "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-rsb-weights/"

# URLs by the data of the training and the arch. `fcmae` is V2's pre-training without labels. V2's
# files of ImageNet-22k were finally fine-tuned on ImageNet-1k. V1 below tiny comes from timm.
WEIGHTS: dict[str, dict[str, str]] = {
    "imagenet1k": {
        "atto": f"{TIMM}convnext_atto_d2-01bb0f51.pth",
        "femto": f"{TIMM}convnext_femto_d1-d71d5b4c.pth",
        "pico": f"{TIMM}convnext_pico_d1-10ad7f0d.pth",
        "nano": f"{TIMM}convnext_nano_d1h-7eb4bdea.pth",
        "tiny": f"{OFFICIAL}convnext_tiny_1k_224.pth",
        "small": f"{OFFICIAL}convnext_small_1k_224.pth",
        "base": f"{OFFICIAL}convnext_base_1k_224.pth",
        "large": f"{OFFICIAL}convnext_large_1k_224_ema.pth",
        **{
            f"iso_{size}": f"{OFFICIAL}convnext_iso_{size}_1k_224_ema.pth"
            for size in ("small", "base", "large")
        },
        **{
            f"v2_{size}": f"{OFFICIAL_V2}im1k/convnextv2_{size}_1k_224_ema.pt"
            for size in ("atto", "femto", "pico", "nano", "tiny", "base", "large", "huge")
        },
    },
    "imagenet22k": {
        **{
            size: f"{OFFICIAL}convnext_{size}_22k_224.pth"
            for size in ("tiny", "small", "base", "large", "xlarge")
        },
        **{
            f"v2_{size}": f"{OFFICIAL_V2}im22k/convnextv2_{size}_22k_224_ema.pt"
            for size in ("nano", "tiny", "base", "large")
        },
        "v2_huge": f"{OFFICIAL_V2}im22k/convnextv2_huge_22k_384_ema.pt",
    },
    "fcmae": {
        f"v2_{size}": f"{OFFICIAL_V2}pt_only/convnextv2_{size}_1k_224_fcmae.pt"
        for size in ("atto", "femto", "pico", "nano", "tiny", "base", "large", "huge")
    },
}


def published_weights(arch: str | Arch, name: str) -> str:
    """Return the URL of the published weights of a backbone.

    Args:
        arch: A name in :data:`convnext_dense.backbone.ARCHS`, or the architecture itself.
        name: ``imagenet1k``, ``imagenet22k`` or ``fcmae``.

    Raises:
        ValueError: If there are no such weights; the message lists those that exist.

    Example:
        >>> published_weights("tiny", "imagenet1k")
        'https://dl.fbaipublicfiles.com/convnext/convnext_tiny_1k_224.pth'
    """
    if name not in WEIGHTS:
        raise ValueError(f"there are no weights {name!r}, choose one of {', '.join(WEIGHTS)}")
    if isinstance(arch, Arch):
        arch = next((known for known, value in ARCHS.items() if value == arch), arch)
    if arch in WEIGHTS[name]:
        return WEIGHTS[name][arch]
    existing = [data for data in WEIGHTS if arch in WEIGHTS[data]]
    raise ValueError(
        f"there are no published weights {name!r} for arch {arch!r}: "
        + (f"it has {', '.join(existing)}" if existing else "no published file fits this arch")
        + f", and {name!r} exists for {', '.join(WEIGHTS[name])}"
    )
