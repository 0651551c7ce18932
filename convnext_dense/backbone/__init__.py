"""The network: architecture table, block, ConvNeXt. Needs torch and mmengine alone."""

from convnext_dense.backbone.archs import ARCHS, Arch, resolve_arch
from convnext_dense.backbone.convnext import ConvNeXt

__all__ = ["ARCHS", "Arch", "ConvNeXt", "resolve_arch"]
