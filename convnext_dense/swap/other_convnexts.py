"""Other implementations of ConvNeXt in a config, and the arguments that they share with ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from convnext_dense.backbone.archs import Arch, resolve_arch
from convnext_dense.config_tree import type_name
from convnext_dense.swap.probe import Level, Pyramid

META_ARGUMENTS = {"in_chans", "depths", "dims"}
# Arguments that are kept from any old backbone.
CARRIED = ("in_channels", "drop_path_rate", "with_cp")
# Arguments that are kept from an old ConvNeXt.
CARRIED_FROM_CONVNEXT = (*CARRIED, "layer_scale_init_value")


def is_convnext(backbone: Mapping) -> bool:
    """Whether a backbone is a ConvNeXt: mmpretrain's, Meta's or ours."""
    return type_name(backbone) == "ConvNeXt"


def arch_of(backbone: Mapping) -> Arch:
    """Return the architecture of a ConvNeXt of any implementation.

    Example:
        >>> arch_of(dict(type='mmpretrain.ConvNeXt', arch='tiny', use_grn=True)).grn
        True
    """
    if META_ARGUMENTS & set(backbone):
        tiny = resolve_arch("tiny")
        return Arch(
            tuple(backbone.get("depths", tiny.depths)), tuple(backbone.get("dims", tiny.channels))
        )
    stated = backbone.get("arch", "tiny")
    if stated == "huge":
        stated = "v2_huge"  # mmpretrain calls it huge; its use_grn makes it a V2
    arch = resolve_arch(stated)
    return replace(arch, grn=bool(backbone.get("use_grn", arch.grn)))


def known_pyramid(backbone: Mapping) -> Pyramid | None:
    """Return the maps of mmpretrain's or Meta's ConvNeXt, or of a stand-in for any backbone.

    They need not be installed.

    Returns:
        The maps, or None for any other backbone, also ours, which can be probed.
    """
    if type_name(backbone) == "TransformersBackbone":  # its head asks the new one for channels
        strides = backbone["strides"]
        return Pyramid(tuple(Level(1, stride) for stride in strides), dilated=False, ceil=False)
    foreign = str(backbone.get("type")).startswith(("mmpretrain.", "mmcls."))
    if not is_convnext(backbone) or not (foreign or META_ARGUMENTS & set(backbone)):
        return None
    arch = arch_of(backbone)
    out_indices = backbone.get("out_indices", -1 if foreign else range(len(arch.depths)))
    listed = [out_indices] if isinstance(out_indices, int) else out_indices
    levels = tuple(
        Level(arch.channels[i], 4 * 2**i) for i in (index % len(arch.depths) for index in listed)
    )
    return Pyramid(levels, dilated=False, ceil=False)


def carried_arguments(backbone: Mapping) -> dict:
    """Return the arguments of an old backbone that mean the same in ours."""
    keys = CARRIED_FROM_CONVNEXT if is_convnext(backbone) else CARRIED
    carried = {key: backbone[key] for key in keys if key in backbone}
    if "in_chans" in backbone:
        carried["in_channels"] = backbone["in_chans"]
    if carried.get("in_channels") == 3:
        del carried["in_channels"]
    if not isinstance(carried.get("drop_path_rate", 0.0), (int, float)):
        del carried["drop_path_rate"]
    return {key: value for key, value in carried.items() if value}
