"""The published weights of the backbone, by name and arch.

Sources: facebookresearch/ConvNeXt and facebookresearch/ConvNeXt-V2, ``README.md``; timm's
``convnext.py`` and ``results/results-imagenet.csv``; pytorch/vision, pull request 5253; LAION's
model cards of ``CLIP-convnext_*``; the model cards of DINOv3 and EUPE.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches

from convnext_dense.backbone.archs import ARCHS, Arch
from convnext_dense.zoo.licences import Licence, find_licence

OFFICIAL = "https://dl.fbaipublicfiles.com/convnext/"
OFFICIAL_V2 = f"{OFFICIAL}convnextv2/"
TIMM = "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-rsb-weights/"
TORCHVISION = "https://download.pytorch.org/models/"

# Mean and standard deviation of red, green and blue in images of 0 to 255.
Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
IMAGENET: Normalisation = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
CLIP: Normalisation = ((122.7709, 116.7460, 104.0937), (68.5005, 66.6322, 70.3232))


@dataclass(frozen=True)
class WeightFile:
    """A published file of weights.

    Attributes:
        source: Its URL, or the id of a model of the Hugging Face hub.
        data: What it was trained on, in the order of the trainings.
        size: Side of the images that it was trained for, in pixels.
        top1: Published top-1 accuracy on ImageNet-1K in percent, or None.
        tested: Side of the images of that test in pixels.
        remark: What else to know of the figure, such as that it is zero-shot.
        normalisation: Mean and standard deviation of the images that it expects.
    """

    source: str
    data: str
    size: int = 224
    top1: float | None = None
    tested: int = 224
    remark: str = ""
    normalisation: Normalisation = IMAGENET

    @property
    def licence(self) -> Licence:
        """The licence that it is published under."""
        licence = find_licence(self.source)
        assert licence is not None, self.source
        return licence

    @property
    def url(self) -> str:
        """The address of the file, or of its page on the hub."""
        return self.source if "://" in self.source else f"https://huggingface.co/{self.source}"


def _files(
    pattern: str, data: str, top1: Mapping[str, float | None], size: int = 224, prefix: str = ""
) -> dict[str, WeightFile]:
    """Return files whose names differ in the arch alone.

    Args:
        pattern: Their source, with ``{}`` for the size of the arch.
        data: As for :class:`WeightFile`, like ``size``.
        top1: By size of the arch.
        size: Side of the images in pixels, in training and in the test.
        prefix: What an arch's name has before its size.
    """
    return {
        f"{prefix}{name}": WeightFile(pattern.format(name), data, size, figure, size)
        for name, figure in top1.items()
    }


def _timm(pattern: str, data: str, top1: Mapping[str, float | None], size: int = 224) -> dict:
    """Return files of timm's, which it tests on larger images than it trains on."""
    files = _files(pattern, data, top1, size)
    return {arch: replace(file, tested=max(size, 288)) for arch, file in files.items()}


def _clip(source: str, data: str, size: int, top1: float, remark: str = "") -> WeightFile:
    return WeightFile(source, data, size, top1, size, remark, CLIP)


_IN1K, _IN22K, _IN12K = "ImageNet-1K", "ImageNet-22K", "ImageNet-12K"
_FCMAE = "ImageNet-1K without labels (FCMAE)"
_LVD, _LAION = "LVD-1689M without labels", "LAION-2B with texts (CLIP)"
_V2_SIZES = ("atto", "femto", "pico", "nano", "tiny", "base", "large", "huge")
_OF_THE_EMA = "of the averaged weights, `..._ema.pth`"
_V1_FT = {"tiny": 82.9, "small": 84.6, "base": 85.8, "large": 86.6}
_V1_FT_384 = {"tiny": 84.1, "small": 85.8, "base": 86.8, "large": 87.5}
_V2_FT_DATA = f"{_FCMAE}, {_IN22K}, {_IN1K}"
_V2_FT = _files(
    f"{OFFICIAL_V2}im22k/convnextv2_{{}}_22k_224_ema.pt",
    _V2_FT_DATA,
    {"nano": 82.1, "tiny": 83.9, "base": 86.8, "large": 87.3},
    prefix="v2_",
)
_V2_FT_384 = _files(
    f"{OFFICIAL_V2}im22k/convnextv2_{{}}_22k_384_ema.pt",
    _V2_FT_DATA,
    {"nano": 83.4, "tiny": 85.1, "base": 87.7, "large": 88.2, "huge": 88.7},
    size=384,
    prefix="v2_",
)

# By name, then by arch. V2's files of ImageNet-22K were finally fine-tuned on ImageNet-1K.
WEIGHTS: dict[str, dict[str, WeightFile]] = {
    "imagenet1k": {
        **{
            arch: WeightFile(f"{TIMM}convnext_{arch}_{rest}.pth", _IN1K, 224, top1, 288)
            for arch, rest, top1 in (
                ("atto", "d2-01bb0f51", 77.0),
                ("femto", "d1-d71d5b4c", 78.7),
                ("pico", "d1-10ad7f0d", 80.4),
                ("nano", "d1h-7eb4bdea", 81.5),
            )
        },
        **{
            arch: replace(file, remark=_OF_THE_EMA)
            for arch, file in _files(
                f"{OFFICIAL}convnext_{{}}_1k_224.pth",
                _IN1K,
                {"tiny": 82.1, "small": 83.1, "base": 83.8},
            ).items()
        },
        **_files(f"{OFFICIAL}convnext_{{}}_1k_224_ema.pth", _IN1K, {"large": 84.3}),
        **_files(
            f"{OFFICIAL}convnext_iso_{{}}_1k_224_ema.pth",
            _IN1K,
            {"small": 78.7, "base": 82.0, "large": 82.6},
            prefix="iso_",
        ),
        **_files(
            f"{OFFICIAL_V2}im1k/convnextv2_{{}}_1k_224_ema.pt",
            f"{_FCMAE}, {_IN1K}",
            dict(zip(_V2_SIZES, (76.7, 78.5, 80.3, 81.9, 83.0, 84.9, 85.8, 86.3), strict=True)),
            prefix="v2_",
        ),
    },
    "imagenet22k": {
        **_files(
            f"{OFFICIAL}convnext_{{}}_22k_224.pth",
            _IN22K,
            dict.fromkeys(("tiny", "small", "base", "large", "xlarge")),
        ),
        **_V2_FT,
        "v2_huge": _V2_FT_384["v2_huge"],
    },
    "fcmae": _files(
        f"{OFFICIAL_V2}pt_only/convnextv2_{{}}_1k_224_fcmae.pt",
        _FCMAE,
        dict.fromkeys(_V2_SIZES),
        prefix="v2_",
    ),
    "imagenet1k_384": _files(
        f"{OFFICIAL}convnext_{{}}_1k_384.pth", _IN1K, {"base": 85.1, "large": 85.5}, size=384
    ),
    "imagenet1k_torchvision": {
        arch: WeightFile(f"{TORCHVISION}convnext_{arch}-{digest}.pth", _IN1K, 176, top1)
        for arch, digest, top1 in (
            ("tiny", "983f1562", 82.5),
            ("small", "0c510722", 83.6),
            ("base", "6075fbad", 84.1),
            ("large", "ea097f82", 84.4),
        )
    },
    "imagenet22k_ft_1k": {
        **_files(f"{OFFICIAL}convnext_{{}}_22k_1k_224.pth", f"{_IN22K}, {_IN1K}", _V1_FT),
        **_files(
            f"{OFFICIAL}convnext_{{}}_22k_1k_224_ema.pth", f"{_IN22K}, {_IN1K}", {"xlarge": 87.0}
        ),
        **_V2_FT,
    },
    "imagenet22k_ft_1k_384": {
        **_files(
            f"{OFFICIAL}convnext_{{}}_22k_1k_384.pth", f"{_IN22K}, {_IN1K}", _V1_FT_384, size=384
        ),
        **_files(
            f"{OFFICIAL}convnext_{{}}_22k_1k_384_ema.pth",
            f"{_IN22K}, {_IN1K}",
            {"xlarge": 87.8},
            size=384,
        ),
        **_V2_FT_384,
    },
    "imagenet22k_ft_1k_512": _files(
        f"{OFFICIAL_V2}im22k/convnextv2_{{}}_22k_512_ema.pt",
        _V2_FT_DATA,
        {"huge": 88.9},
        size=512,
        prefix="v2_",
    ),
    "imagenet12k": _timm(
        "timm/convnext_{}.in12k", _IN12K, dict.fromkeys(("nano", "tiny", "small"))
    ),
    "imagenet12k_ft_1k": _timm(
        "timm/convnext_{}.in12k_ft_in1k",
        f"{_IN12K}, {_IN1K}",
        {"nano": 82.9, "tiny": 84.5, "small": 85.3},
    ),
    "imagenet12k_ft_1k_384": {
        **_timm(
            "timm/convnext_{}.r384_in12k_ft_in1k", f"{_IN12K}, {_IN1K}", {"nano": 83.3}, size=384
        ),
        **_timm(
            "timm/convnext_{}.in12k_ft_in1k_384",
            f"{_IN12K}, {_IN1K}",
            {"tiny": 85.1, "small": 86.2},
            size=384,
        ),
    },
    "clip_laion2b": {
        "base": _clip("timm/convnext_base.clip_laion2b", _LAION, 256, 70.8, "zero-shot"),
        "large": _clip(
            "timm/convnext_large_mlp.clip_laion2b_augreg", _LAION, 256, 75.9, "zero-shot"
        ),
    },
    "clip_laion2b_ft_1k": {
        "base": _clip(
            "timm/convnext_base.clip_laion2b_augreg_ft_in12k_in1k",
            f"{_LAION}, {_IN12K}, {_IN1K}",
            256,
            86.4,
        ),
        "large": _clip(
            "timm/convnext_large_mlp.clip_laion2b_soup_ft_in12k_in1k_320",
            f"{_LAION}, {_IN12K}, {_IN1K}",
            320,
            88.0,
        ),
    },
    "dinov3": _files(
        "timm/convnext_{}.dinov3_lvd1689m",
        f"{_LVD} (DINOv3)",
        dict.fromkeys(("tiny", "small", "base", "large")),
    ),
    "eupe": _files(
        "timm/convnext_{}.eupe_lvd1689m",
        f"{_LVD} (EUPE)",
        dict.fromkeys(("tiny", "small", "base")),
        size=256,
    ),
}


def find_weights(arch: str | Arch, name: str) -> WeightFile:
    """Return a file of published weights.

    Args:
        arch: A name in :data:`convnext_dense.backbone.ARCHS`, or the architecture itself.
        name: A name in :data:`WEIGHTS`, such as ``imagenet22k`` or ``dinov3``.

    Raises:
        ValueError: If there are no such weights; the message lists those that exist.

    Example:
        >>> find_weights("tiny", "imagenet1k").source
        'https://dl.fbaipublicfiles.com/convnext/convnext_tiny_1k_224.pth'
        >>> find_weights("tiny", "dinov3").source
        'timm/convnext_tiny.dinov3_lvd1689m'
    """
    if name not in WEIGHTS:
        raise ValueError(f"there are no weights {name!r}, choose one of {nearest_first(name)}")
    if isinstance(arch, Arch):
        arch = next((known for known, value in ARCHS.items() if value == arch), arch)
    if arch in WEIGHTS[name]:
        return WEIGHTS[name][arch]
    existing = [other for other in WEIGHTS if arch in WEIGHTS[other]]
    raise ValueError(
        f"there are no published weights {name!r} for arch {arch!r}: "
        + (f"it has {', '.join(existing)}" if existing else "no published file fits this arch")
        + f", and {name!r} exists for {', '.join(WEIGHTS[name])}"
    )


def nearest_first(name: str) -> str:
    """Return the names of weights, separated by commas, those most like a given one first."""
    near = get_close_matches(name, WEIGHTS, len(WEIGHTS))
    return ", ".join(dict.fromkeys([*near, *WEIGHTS]))
