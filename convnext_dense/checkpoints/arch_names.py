"""Name an architecture in messages."""

from __future__ import annotations

from itertools import zip_longest

from convnext_dense.backbone.archs import ARCHS, Arch


def describe_arch(arch: Arch) -> str:
    """Return the name of an architecture, or its sizes and the closest published name.

    Example:
        >>> describe_arch(ARCHS["tiny"])
        "arch 'tiny'"
    """
    name = closest_arch(arch)
    if ARCHS[name] == arch:
        return f"arch {name!r}"
    return f"arch {arch.as_dict()} (closest to {name!r})"


def closest_arch(arch: Arch) -> str:
    """Return the name of the published architecture that is most similar."""

    def distance(name: str) -> tuple[bool, bool, float]:
        other = ARCHS[name]
        sizes = [
            abs(a - b) / max(a, b)
            for ours, theirs in ((arch.depths, other.depths), (arch.channels, other.channels))
            # A missing stage differs from any other by the whole size of that stage.
            for a, b in zip_longest(ours, theirs, fillvalue=0)
        ]
        return arch.isotropic != other.isotropic, arch.grn != other.grn, sum(sizes)

    return min(ARCHS, key=distance)
