"""The layouts that published ConvNeXt weights come in, one file each."""

from convnext_dense.weights.layouts.dinov3 import DINOV3
from convnext_dense.weights.layouts.fcmae import FCMAE
from convnext_dense.weights.layouts.layout import Layout, kind_of, own_shape
from convnext_dense.weights.layouts.meta import META
from convnext_dense.weights.layouts.mmpretrain import MMPRETRAIN
from convnext_dense.weights.layouts.timm import TIMM, TIMM_FEATURES
from convnext_dense.weights.layouts.torchvision import TORCHVISION
from convnext_dense.weights.layouts.transformers import TRANSFORMERS

LAYOUTS: tuple[Layout, ...] = (
    META,
    FCMAE,
    TIMM,
    TIMM_FEATURES,
    TORCHVISION,
    TRANSFORMERS,
    DINOV3,
    MMPRETRAIN,
)

__all__ = ["LAYOUTS", "Layout", "kind_of", "own_shape"]
