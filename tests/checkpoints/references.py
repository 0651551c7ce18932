"""ConvNeXt once more, in the layouts of libraries that cannot be imported here.

Rewritten from the papers with the names and shapes of each library's files. ``stages(image)`` gives
the features of every stage, before any output norm.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

EPS = 1e-6


class ChannelNorm(nn.Module):
    """Layer norm over axis 1, from its equation."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        centred = x - x.mean(1, keepdim=True)
        normed = centred / (centred.pow(2).mean(1, keepdim=True) + EPS).sqrt()
        return normed * self.weight[:, None, None] + self.bias[:, None, None]


class Grn(nn.Module):
    """GRN whose parameters have any shape that ends in the channels; x is channels-last."""

    def __init__(self, shape):
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(shape))
        self.beta = nn.Parameter(torch.zeros(shape))

    def forward(self, x):
        response = x.pow(2).sum((1, 2), keepdim=True).sqrt()
        relative = response / (response.mean(-1, keepdim=True) + EPS)
        return self.gamma * (x * relative) + self.beta + x


class Staged(nn.Module):
    """The walk through ``downsample_layers`` and ``stages``."""

    def stages_of(self, image):
        outputs = []
        for down, blocks in zip(self.downsample_layers, self.stages, strict=True):
            image = blocks(down(image))
            outputs.append(image)
        return outputs

    def build(self, depths, dims, block, in_channels=3, norm=ChannelNorm, conv=nn.Conv2d):
        before = in_channels
        self.downsample_layers, self.stages = nn.ModuleList(), nn.ModuleList()
        for stage, (depth, dim) in enumerate(zip(depths, dims, strict=True)):
            if stage == 0:
                down = [nn.Conv2d(before, dim, 4, 4), ChannelNorm(dim)]
            else:
                down = [norm(before), conv(before, dim, 2, 2)]
            self.downsample_layers.append(nn.Sequential(*down))
            self.stages.append(nn.Sequential(*(block(dim) for _ in range(depth))))
            before = dim


class MetaBlock(nn.Module):
    def __init__(self, dim, grn):
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, 7, padding=3, groups=dim)
        self.norm = ChannelNorm(dim)
        self.pwconv1 = nn.Linear(dim, 4 * dim)
        if grn:
            self.grn = Grn((1, 1, 1, 4 * dim))
        self.pwconv2 = nn.Linear(4 * dim, dim)
        if not grn:
            self.gamma = nn.Parameter(torch.full((dim,), 1e-6))

    def forward(self, x):
        y = F.gelu(self.pwconv1(self.norm(self.dwconv(x)).movedim(1, -1)))
        y = self.pwconv2(self.grn(y) if hasattr(self, "grn") else y)
        return x + (y * self.gamma if hasattr(self, "gamma") else y).movedim(-1, 1)


class Meta(Staged):
    """facebookresearch/ConvNeXt and ConvNeXt-V2: a classifier, or a backbone with output norms."""

    def __init__(self, depths, dims, grn=False, output_norms=False, in_channels=3):
        super().__init__()
        self.build(depths, dims, lambda dim: MetaBlock(dim, grn), in_channels)
        self.output_norms = output_norms
        if output_norms:
            for stage, dim in enumerate(dims):
                self.add_module(f"norm{stage}", ChannelNorm(dim))
        else:
            self.norm = nn.LayerNorm(dims[-1], eps=EPS)
            self.head = nn.Linear(dims[-1], 5)

    def forward(self, image):
        outputs = self.stages_of(image)
        return [getattr(self, f"norm{i}")(x) for i, x in enumerate(outputs)]


class MetaIsotropic(nn.Module):
    """facebookresearch/ConvNeXt, ``models/convnext_isotropic.py``, without its pooled classifier.

    ``layer_scale`` is 0 in the small and the base one, which have none.
    """

    def __init__(self, depth, dim, layer_scale=0.0):
        super().__init__()
        self.stem = nn.Conv2d(3, dim, 16, 16)
        self.blocks = nn.ModuleList(MetaBlock(dim, grn=False) for _ in range(depth))
        if not layer_scale:
            for block in self.blocks:
                del block.gamma
        self.norm = nn.LayerNorm(dim, eps=EPS)
        self.head = nn.Linear(dim, 5)

    def stages_of(self, image):
        image = self.stem(image)
        for block in self.blocks:
            image = block(image)
        return [image]


class MMPretrainBlock(nn.Module):
    def __init__(self, dim, grn, linear):
        super().__init__()
        self.depthwise_conv = nn.Conv2d(dim, dim, 7, padding=3, groups=dim)
        self.norm = ChannelNorm(dim)
        pointwise = nn.Linear if linear else (lambda i, o: nn.Conv2d(i, o, 1))
        self.pointwise_conv1 = pointwise(dim, 4 * dim)
        self.pointwise_conv2 = pointwise(4 * dim, dim)
        if grn:
            self.grn = Grn((4 * dim,))
        else:
            self.gamma = nn.Parameter(torch.full((dim,), 1e-6))
        self.linear = linear

    def forward(self, x):
        y = self.norm(self.depthwise_conv(x))
        if self.linear:
            y = self.pointwise_conv1(y.movedim(1, -1))
        else:
            y = self.pointwise_conv1(y).movedim(1, -1)
        y = F.gelu(y)
        y = self.grn(y) if hasattr(self, "grn") else y
        if self.linear:
            y = self.pointwise_conv2(y).movedim(-1, 1)
        else:
            y = self.pointwise_conv2(y.movedim(-1, 1))
        return x + (y * self.gamma[:, None, None] if hasattr(self, "gamma") else y)


class MMPretrain(Staged):
    """mmpretrain's backbone; as in its classifiers ``norm3`` alone, or the norms of all outputs."""

    def __init__(self, depths, dims, grn=False, linear=True, output_norms=False):
        super().__init__()
        self.build(depths, dims, lambda dim: MMPretrainBlock(dim, grn, linear))
        for stage, dim in enumerate(dims):
            if output_norms or stage == len(dims) - 1:
                self.add_module(f"norm{stage}", ChannelNorm(dim))

    def forward(self, image):
        return [getattr(self, f"norm{i}")(x) for i, x in enumerate(self.stages_of(image))]


class MMPretrainClassifier(nn.Module):
    def __init__(self, *args, **kwargs):
        super().__init__()
        self.backbone = MMPretrain(*args, **kwargs)
        self.head = nn.Module()
        self.head.fc = nn.Linear(self.backbone.downsample_layers[-1][1].out_channels, 5)


class Permute(nn.Module):
    def __init__(self, *axes):
        super().__init__()
        self.axes = axes

    def forward(self, x):
        return x.permute(self.axes)


class TorchvisionBlock(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(dim, dim, 7, padding=3, groups=dim),
            Permute(0, 2, 3, 1),
            nn.LayerNorm(dim, eps=EPS),
            nn.Linear(dim, 4 * dim),
            nn.GELU(),
            nn.Linear(4 * dim, dim),
            Permute(0, 3, 1, 2),
        )
        self.layer_scale = nn.Parameter(torch.full((dim, 1, 1), 1e-6))

    def forward(self, x):
        return x + self.layer_scale * self.block(x)


class Torchvision(nn.Module):
    """torchvision's classifier."""

    def __init__(self, depths, dims):
        super().__init__()
        features = [nn.Sequential(nn.Conv2d(3, dims[0], 4, 4), ChannelNorm(dims[0]))]
        for stage, (depth, dim) in enumerate(zip(depths, dims, strict=True)):
            if stage:
                before = dims[stage - 1]
                features.append(nn.Sequential(ChannelNorm(before), nn.Conv2d(before, dim, 2, 2)))
            features.append(nn.Sequential(*(TorchvisionBlock(dim) for _ in range(depth))))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(
            nn.LayerNorm(dims[-1], eps=EPS), nn.Flatten(1), nn.Linear(dims[-1], 5)
        )

    def stages_of(self, image):
        outputs = []
        for index, part in enumerate(self.features):
            image = part(image)
            if index % 2:
                outputs.append(image)
        return outputs


class SparseKernel(nn.Module):
    """A convolution as MinkowskiEngine keeps it: one matrix per offset, x being the slow axis."""

    def __init__(self, shape, size, dim):
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(shape) * 0.1)
        self.bias = nn.Parameter(torch.zeros(1, dim))
        self.size = size

    def forward(self, x):
        k = self.size
        depthwise = self.kernel.ndim == 2
        stride = 1 if depthwise else k
        x = F.pad(x, [k // 2] * 4) if depthwise else x
        height, width = x.shape[2:]
        if depthwise:
            height, width = height - k + 1, width - k + 1
        out = 0
        for offset, weight in enumerate(self.kernel):
            dx, dy = offset // k, offset % k
            part = x[:, :, dy : dy + height : stride, dx : dx + width : stride]
            part = part[:, :, : height // stride, : width // stride].movedim(1, -1)
            out = out + (part * weight if depthwise else part @ weight)
        return (out + self.bias).movedim(-1, 1)


class SparseNorm(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.ln = nn.LayerNorm(dim, eps=EPS)

    def forward(self, x):
        return self.ln(x.movedim(1, -1)).movedim(-1, 1)


class SparseLinear(nn.Module):
    def __init__(self, before, after):
        super().__init__()
        self.linear = nn.Linear(before, after)

    def forward(self, x):
        return self.linear(x)


class SparseBlock(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dwconv = SparseKernel((49, dim), 7, dim)
        self.norm = SparseNorm(dim)
        self.pwconv1 = SparseLinear(dim, 4 * dim)
        self.pwconv2 = SparseLinear(4 * dim, dim)
        self.grn = Grn((1, 4 * dim))

    def forward(self, x):
        y = F.gelu(self.pwconv1(self.norm(self.dwconv(x)).movedim(1, -1)))
        return x + self.pwconv2(self.grn(y)).movedim(-1, 1)


class SparseEncoder(Staged):
    def __init__(self, depths, dims):
        super().__init__()

        def conv(before, dim, size, stride):
            return SparseKernel((size * size, before, dim), size, dim)

        self.build(depths, dims, SparseBlock, norm=SparseNorm, conv=conv)


class Fcmae(nn.Module):
    """ConvNeXt V2 as it is pre-trained: a sparse encoder and a decoder."""

    def __init__(self, depths, dims):
        super().__init__()
        self.encoder = SparseEncoder(depths, dims)
        self.proj = nn.Conv2d(dims[-1], 8, 1)
        self.mask_token = nn.Parameter(torch.zeros(1, 8, 1, 1))
        self.decoder = nn.Sequential(MetaBlock(8, grn=True))
        self.pred = nn.Conv2d(8, 12, 1)
