"""The published architectures by name.

Sources: ConvNeXt, arXiv 2201.03545, section 2 (tiny to xlarge) and section 3.3 (all ``iso_``);
ConvNeXt V2, arXiv 2301.00808, appendix A.1 (all ``v2_``); timm's ``convnext.py`` for atto to nano
without GRN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, repr=False)
class Arch:
    """What tells one ConvNeXt from another.

    Attributes:
        depths: Blocks in each stage.
        channels: Width of each stage.
        grn: Global response normalisation in every block, which makes it a V2.
        isotropic: One stage alone, at stride 16, behind a 16x16 convolution without a norm.
        layer_scale: What layer scale starts from in dense prediction; 0 means that there is none,
            and None 1.0 for a V1 and none for others. Files do not tell it, so it is not compared.
    """

    depths: tuple[int, ...]
    channels: tuple[int, ...]
    grn: bool = False
    isotropic: bool = False
    layer_scale: float | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not self.depths or len(self.depths) != len(self.channels):
            raise ValueError(
                "arch needs as many depths as channels, and at least one of each, got "
                f"depths={self.depths} and channels={self.channels}"
            )
        if any(not isinstance(n, int) or n < 1 for n in (*self.depths, *self.channels)):
            raise ValueError(
                "arch's depths and channels are positive integers, got "
                f"depths={self.depths} and channels={self.channels}"
            )
        if self.isotropic and len(self.depths) > 1:
            raise ValueError(
                "an isotropic arch has one stage, so one depth and one width, got "
                f"depths={self.depths} and channels={self.channels}"
            )

    def __repr__(self) -> str:
        # Runs record this, and are resumed where it is the same.
        return f"Arch({', '.join(f'{key}={value!r}' for key, value in self.as_dict().items())})"

    def as_dict(self) -> dict:
        """Return the dict that :func:`resolve_arch` makes this architecture of."""
        isotropic = dict(isotropic=True) if self.isotropic else {}
        return dict(depths=self.depths, channels=self.channels, grn=self.grn, **isotropic)

    @property
    def stem_stride(self) -> int:
        """The size and the stride of the stem's convolution, in pixels."""
        return 16 if self.isotropic else 4

    @property
    def initial_layer_scale(self) -> float:
        """What layer scale starts from in dense prediction; 0 means that there is none."""
        if self.layer_scale is not None:
            return self.layer_scale
        return 0.0 if self.grn or self.isotropic else 1.0


def _four_stages(depths: Sequence[int], width: int, grn: bool = False) -> Arch:
    return Arch(tuple(depths), tuple(width * 2**stage for stage in range(4)), grn)


ARCHS: dict[str, Arch] = {
    "atto": _four_stages((2, 2, 6, 2), 40),
    "femto": _four_stages((2, 2, 6, 2), 48),
    "pico": _four_stages((2, 2, 6, 2), 64),
    "nano": _four_stages((2, 2, 8, 2), 80),
    "tiny": _four_stages((3, 3, 9, 3), 96),
    "small": _four_stages((3, 3, 27, 3), 96),
    "base": _four_stages((3, 3, 27, 3), 128),
    "large": _four_stages((3, 3, 27, 3), 192),
    "xlarge": _four_stages((3, 3, 27, 3), 256),
    "v2_atto": _four_stages((2, 2, 6, 2), 40, grn=True),
    "v2_femto": _four_stages((2, 2, 6, 2), 48, grn=True),
    "v2_pico": _four_stages((2, 2, 6, 2), 64, grn=True),
    "v2_nano": _four_stages((2, 2, 8, 2), 80, grn=True),
    "v2_tiny": _four_stages((3, 3, 9, 3), 96, grn=True),
    "v2_base": _four_stages((3, 3, 27, 3), 128, grn=True),
    "v2_large": _four_stages((3, 3, 27, 3), 192, grn=True),
    "v2_huge": _four_stages((3, 3, 27, 3), 352, grn=True),
    "iso_small": Arch((18,), (384,), isotropic=True),
    "iso_base": Arch((18,), (768,), isotropic=True),
    # Deep enough to need layer scale, the paper says.
    "iso_large": Arch((36,), (1024,), isotropic=True, layer_scale=1e-6),
}
# The keys of an arch as a dict.
KEYS = ("depths", "channels", "grn", "isotropic")
SHAPE = "dict(depths=..., channels=..., grn=False, isotropic=False)"


def resolve_arch(arch: str | Mapping | Arch) -> Arch:
    """Look an architecture up, or build one.

    Args:
        arch: A name in :data:`ARCHS`, or ``dict(depths=..., channels=..., grn=False,
            isotropic=False)`` with any number of stages.

    Raises:
        ValueError: On an unknown name or key, or depths and channels that do not fit.
        TypeError: On anything else than a name or a dict.

    Example:
        >>> resolve_arch("tiny").channels
        (96, 192, 384, 768)
        >>> resolve_arch(dict(depths=(1, 2), channels=(8, 16)))
        Arch(depths=(1, 2), channels=(8, 16), grn=False)
    """
    if isinstance(arch, Arch):
        return arch
    if isinstance(arch, str):
        if arch not in ARCHS:
            raise ValueError(f"unknown arch {arch!r}, choose one of {', '.join(ARCHS)}, or {SHAPE}")
        return ARCHS[arch]
    if not isinstance(arch, Mapping):
        raise TypeError(f"arch is a name or {SHAPE}, got {arch!r}")
    if not {"depths", "channels"} <= set(arch) <= set(KEYS):
        raise ValueError(
            "arch as a dict has the keys depths and channels, and may have grn and isotropic, got "
            f"{', '.join(map(repr, arch)) or 'none'}"
        )
    for key in ("depths", "channels"):
        if isinstance(arch[key], str) or not isinstance(arch[key], Sequence):
            raise ValueError(
                f"arch's depths and channels are sequences of integers, got {key}={arch[key]!r}"
            )
    options = {key: bool(arch[key]) for key in ("grn", "isotropic") if key in arch}
    return Arch(tuple(arch["depths"]), tuple(arch["channels"]), **options)
