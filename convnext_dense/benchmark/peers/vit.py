"""A plain vision transformer of timm's, of the size of an isotropic ConvNeXt."""

from __future__ import annotations

from torch import Tensor, nn

from convnext_dense.benchmark.peers.torchvision_stand_in import import_without_torchvision

SIZES = {"iso_small": "small", "iso_base": "base", "iso_large": "large"}


class VisionTransformer(nn.Module):
    """ViT with patches of 16 pixels, whose last tokens are a map at stride 16, after its norm.

    Args:
        arch: The isotropic arch that has its size.
        drop_path: Stochastic depth of the last block.
    """

    def __init__(self, arch: str, drop_path: float = 0.0) -> None:
        super().__init__()
        timm = import_without_torchvision("timm")
        self.net = timm.create_model(
            f"vit_{SIZES[arch]}_patch16_224",
            pretrained=False,
            num_classes=0,
            dynamic_img_size=True,
            drop_path_rate=drop_path,
        )

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the one map (N, C, H / 16, W / 16) of (N, 3, H, W) images."""
        return tuple(
            self.net.forward_intermediates(image, indices=1, norm=True, intermediates_only=True)
        )
