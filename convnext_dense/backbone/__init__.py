"""The network: architectures, block, ConvNeXt, and the road to it from ResNet.

Needs torch and mmengine alone.
"""

from typing import TYPE_CHECKING

from convnext_dense.backbone.archs import ARCHS, Arch, resolve_arch
from convnext_dense.lazy import load_when_used

if TYPE_CHECKING:
    from convnext_dense.backbone.convnext import ConvNeXt
    from convnext_dense.backbone.resnet_to_convnext import ResNetToConvNeXt

__all__ = ["ARCHS", "Arch", "ConvNeXt", "ResNetToConvNeXt", "resolve_arch"]
# The table is read where no torch is.
__getattr__, __dir__ = load_when_used(
    __name__, {"ConvNeXt": ".convnext", "ResNetToConvNeXt": ".resnet_to_convnext"}
)
