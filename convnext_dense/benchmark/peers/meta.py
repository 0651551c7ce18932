"""ConvNeXt in the layout of facebookresearch/ConvNeXt and ConvNeXt-V2, for dense prediction.

Written from the papers (arXiv 2201.03545 and 2301.00808) in plain torch, with the names and the
operators of Meta's modules, and without any code of our backbone: channels-first maps, a
channels-first layer norm made of elementwise operators, and a block that permutes to channels-last
and back.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convnext_dense.backbone.archs import Arch

EPS = 1e-6


class ChannelsFirstNorm(nn.Module):
    """Layer norm over axis 1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise a (N, C, H, W) map."""
        centred = x - x.mean(1, keepdim=True)
        normed = centred / torch.sqrt(centred.pow(2).mean(1, keepdim=True) + EPS)
        return self.weight[:, None, None] * normed + self.bias[:, None, None]


class ResponseNorm(nn.Module):
    """GRN; its parameters are (1, 1, 1, C)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, 1, channels))
        self.beta = nn.Parameter(torch.zeros(1, 1, 1, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise a (N, H, W, C) map."""
        response = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)
        relative = response / (response.mean(-1, keepdim=True) + EPS)
        return self.gamma * (x * relative) + self.beta + x


class MetaBlock(nn.Module):
    """One block: with layer scale for V1, with GRN for V2, with neither in small isotropic ones."""

    def __init__(self, channels: int, arch: Arch, drop_path: float) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=EPS)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.grn = ResponseNorm(4 * channels) if arch.grn else nn.Identity()
        self.pwconv2 = nn.Linear(4 * channels, channels)
        self.gamma = nn.Parameter(torch.ones(channels)) if arch.initial_layer_scale else None
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        y = self.pwconv2(self.grn(F.gelu(self.pwconv1(y))))
        if self.gamma is not None:
            y = self.gamma * y
        y = y.permute(0, 3, 1, 2)
        if self.drop_path and self.training:
            keep = 1 - self.drop_path
            y = y * y.new_empty(len(y), 1, 1, 1).bernoulli_(keep).div_(keep)
        return x + y


class MetaConvNeXt(nn.Module):
    """The backbone with a norm after each of its stages.

    Args:
        arch: The architecture.
        drop_path: Stochastic depth of the last block.
    """

    def __init__(self, arch: Arch, drop_path: float = 0.0) -> None:
        super().__init__()
        depths, channels = arch.depths, arch.channels
        rates = iter(torch.linspace(0, drop_path, sum(depths), device="cpu").tolist())
        self.downsample_layers, self.stages = nn.ModuleList(), nn.ModuleList()
        for stage, (depth, width) in enumerate(zip(depths, channels, strict=True)):
            if stage == 0:
                patch = 16 if arch.isotropic else 4
                layers: list[nn.Module] = [nn.Conv2d(3, width, patch, stride=patch)]
                if not arch.isotropic:
                    layers.append(ChannelsFirstNorm(width))
            else:
                before = channels[stage - 1]
                layers = [ChannelsFirstNorm(before), nn.Conv2d(before, width, 2, stride=2)]
            self.downsample_layers.append(nn.Sequential(*layers))
            blocks = (MetaBlock(width, arch, next(rates)) for _ in range(depth))
            self.stages.append(nn.Sequential(*blocks))
            self.add_module(f"norm{stage}", ChannelsFirstNorm(width))

    def raw_stages(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the maps of all stages for (N, 3, H, W) images, before their norms."""
        outputs = []
        for downsample, blocks in zip(self.downsample_layers, self.stages, strict=True):
            image = blocks(downsample(image))
            outputs.append(image)
        return tuple(outputs)

    def norm(self, outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Apply the output norms to the maps of all stages."""
        return tuple(getattr(self, f"norm{stage}")(x) for stage, x in enumerate(outputs))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the normed maps of all stages for (N, 3, H, W) images."""
        return self.norm(self.raw_stages(image))
