"""ViTDet's neck: a pyramid from the one map of a backbone without stages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from convnext_dense.backbone.block import LAYER_NORM_EPS, LayerNorm2d, memory_format_of

# ViTDet's: from a map at stride 16 to strides 4, 8, 16 and 32.
SCALE_FACTORS = (4, 2, 1, 0.5)
LAYER_NORM = ("LN", "LN2d")


class SimpleFeaturePyramid(BaseModule):
    """Simple feature pyramid (ViTDet, arXiv 2203.16527, section 3).

    Each output is the one map, made larger by transposed convolutions of stride 2 (with a norm and
    a GELU between two of them), which halve its channels, or smaller by a max pooling; then a 1x1
    and a 3x3 convolution, each with a norm. Levels beyond those are pooled from the last one, as in
    an FPN.

    Args:
        in_channels: Channels of the map, also as a list of one, which other necks have.
        out_channels: Channels of every output.
        num_outs: The number of outputs. None means one for each scale factor; what exceeds them is
            made by max poolings of stride 2 and size 1.
        scale_factors: Size of each output relative to the map: powers of two. The default makes
            strides 4, 8, 16 and 32 from a map at stride 16.
        norm_cfg: The norms, as mmcv builds them (``dict(type='BN')``, ``SyncBN``, ``GN``); ``LN``
            is a layer norm over the channels of each position. None builds no norms, and
            convolutions with a bias.
        init_cfg: As for mmengine's BaseModule.

    Raises:
        ValueError: Where an argument is outside of its range.
        TypeError: Where a number of channels or outputs is no integer.

    Example:
        >>> import torch
        >>> neck = SimpleFeaturePyramid(in_channels=16, out_channels=8, num_outs=5)
        >>> [tuple(y.shape) for y in neck((torch.zeros(1, 16, 3, 5),))]
        [(1, 8, 12, 20), (1, 8, 6, 10), (1, 8, 3, 5), (1, 8, 2, 3), (1, 8, 1, 2)]
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        out_channels: int = 256,
        num_outs: int | None = None,
        scale_factors: Sequence[float] = SCALE_FACTORS,
        norm_cfg: Mapping[str, Any] | None = dict(type="LN", eps=LAYER_NORM_EPS),
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if isinstance(in_channels, (list, tuple)) and len(in_channels) == 1:
            (in_channels,) = in_channels
        if num_outs is None:
            num_outs = len(scale_factors)
        in_channels = _positive("in_channels", in_channels)
        out_channels = _positive("out_channels", out_channels)
        num_outs = _positive("num_outs", num_outs)
        doublings = [_doublings(factor) for factor in scale_factors]
        if not doublings or num_outs < len(doublings):
            raise ValueError(
                f"num_outs is at least the number of scale_factors, which is at least 1, got "
                f"{num_outs} for {tuple(scale_factors)}"
            )
        if in_channels % 2 ** max(0, *doublings):
            raise ValueError(
                f"in_channels is a multiple of the largest scale factor, since each doubling of "
                f"the size halves them, got {in_channels} and {max(scale_factors)}"
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.num_outs = num_outs
        self.resizes = nn.ModuleList(_resize(in_channels, n, norm_cfg) for n in doublings)
        self.lateral_convs = nn.ModuleList(
            _conv(in_channels >> max(0, n), out_channels, 1, norm_cfg) for n in doublings
        )
        self.fpn_convs = nn.ModuleList(
            _conv(out_channels, out_channels, 3, norm_cfg) for _ in doublings
        )

    def forward(self, inputs: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Make the pyramid.

        Args:
            inputs: The map (N, in_channels, H, W), alone or in a sequence of one.

        Returns:
            ``num_outs`` maps (N, out_channels, H * factor, W * factor), rounded up, laid out in
            memory as the map is.

        Raises:
            ValueError: If there are several maps.
        """
        maps = [inputs] if isinstance(inputs, Tensor) else list(inputs)
        if len(maps) != 1:
            raise ValueError(
                f"SimpleFeaturePyramid reads one map, got {len(maps)}: give the backbone one output"
            )
        (x,) = maps
        memory_format = memory_format_of(x)
        layers = zip(self.resizes, self.lateral_convs, self.fpn_convs, strict=True)
        outputs = [
            # A compiled mmcv reads maps as contiguous; what a norm returns is not.
            fpn_conv(lateral_conv(resize(x))).contiguous(memory_format=memory_format)
            for resize, lateral_conv, fpn_conv in layers
        ]
        while len(outputs) < self.num_outs:
            outputs.append(F.max_pool2d(outputs[-1], kernel_size=1, stride=2))
        return tuple(outputs)


def _positive(name: str, value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{name} is one integer, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} is at least 1, got {value}")
    return value


def _doublings(factor: float) -> int:
    """Return how often the size is doubled; below 0, how often it is halved."""
    if isinstance(factor, (int, float)) and factor > 0 and math.log2(factor).is_integer():
        return int(math.log2(factor))
    raise ValueError(f"scale_factors are powers of two, such as 4, 2, 1 and 0.5, got {factor!r}")


def _resize(channels: int, doublings: int, norm_cfg: Mapping | None) -> nn.Module:
    if doublings < 0:
        step = 2**-doublings
        # Rounds up, so that the sizes fit those of the other levels and none is empty.
        return nn.MaxPool2d(step, step, ceil_mode=True)
    layers: list[nn.Module] = []
    for doubling in range(doublings):
        if doubling > 0:
            layers += [_norm(channels, norm_cfg), nn.GELU()]
        layers.append(nn.ConvTranspose2d(channels, channels // 2, kernel_size=2, stride=2))
        channels //= 2
    return nn.Sequential(*layers)


def _conv(before: int, after: int, size: int, norm_cfg: Mapping | None) -> nn.Sequential:
    conv = nn.Conv2d(before, after, size, padding=size // 2, bias=norm_cfg is None)
    return nn.Sequential(conv, _norm(after, norm_cfg))


def _norm(channels: int, cfg: Mapping | None) -> nn.Module:
    if cfg is None:
        return nn.Identity()
    kind = cfg.get("type")
    if kind in LAYER_NORM:
        return LayerNorm2d(channels, cfg.get("eps", LAYER_NORM_EPS))
    # Only these need mmcv, which registers its norms when it is imported.
    from mmcv.cnn import build_norm_layer

    if (isinstance(kind, str) and MODELS.get(kind) is None) or kind is None:
        raise ValueError(f"norm_cfg has a type, LN or one of mmcv's such as BN and GN, got {cfg}")
    return build_norm_layer(dict(cfg), channels)[1]
