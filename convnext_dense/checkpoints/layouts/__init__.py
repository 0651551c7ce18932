"""The layouts of published ConvNeXt weights, one file for each library."""

from convnext_dense.checkpoints.layouts.fcmae import FCMAE
from convnext_dense.checkpoints.layouts.layout import Layout, kind_of, own_shape
from convnext_dense.checkpoints.layouts.meta import META, META_ISOTROPIC
from convnext_dense.checkpoints.layouts.mmpretrain import MMPRETRAIN
from convnext_dense.checkpoints.layouts.timm import TIMM, TIMM_FEATURES
from convnext_dense.checkpoints.layouts.torchvision import TORCHVISION
from convnext_dense.checkpoints.layouts.transformers import DINOV3, TRANSFORMERS

LAYOUTS: tuple[Layout, ...] = (
    META,
    META_ISOTROPIC,
    FCMAE,
    TIMM,
    TIMM_FEATURES,
    TORCHVISION,
    TRANSFORMERS,
    DINOV3,
    MMPRETRAIN,
)
# Layouts that weights can be converted to.
TARGETS: dict[str, Layout] = {
    layout.name: layout for layout in (META, TIMM, TORCHVISION, TRANSFORMERS, MMPRETRAIN)
}

__all__ = ["LAYOUTS", "META_ISOTROPIC", "TARGETS", "Layout", "kind_of", "own_shape"]
