"""A neck that makes the feature maps of another kind of network from ConvNeXt's."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn


class PyramidAdapter(BaseModule):
    """Make maps of any channels and strides from a pyramid, which is merged from coarse to fine.

    As in FPN (arXiv 1612.03144), each level passes a 1x1 convolution, and the next coarser level is
    enlarged and added. An output is one merged level, resized to the output's stride, after a 3x3
    convolution. So every level contributes to all finer outputs.

    Args:
        in_channels: Channels of the input levels, from fine to coarse.
        in_strides: Their strides, ascending.
        out_channels: Channels of each output; 0 makes a map without channels, for a neck that
            needs a map at this position but does not read it.
        out_strides: Stride of each output, in any order.
        sources: For each output, the position of the level that it is made from.
        channels: Channels of the merged levels.
        eval_output: Position of the one output that is returned in evaluation, without a tuple, as
            real-time segmenters with training branches do (PIDNet, DDRNet); None returns all.
        class_tokens: Whether to return pairs of a map and its mean over the positions, (N, C), for
            heads of transformers that also read a class token (DPT).
        init_cfg: As for mmengine's BaseModule.

    Raises:
        ValueError: If the lengths of the arguments do not match, or strides or sources are wrong.

    Example:
        >>> import torch
        >>> neck = PyramidAdapter([8, 16], [16, 32], out_channels=[4, 6], out_strides=[8, 64],
        ...                       sources=[0, 1], channels=12)
        >>> [tuple(y.shape) for y in neck([torch.zeros(1, 8, 6, 8), torch.zeros(1, 16, 3, 4)])]
        [(1, 4, 12, 16), (1, 6, 2, 2)]
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        in_strides: Sequence[int],
        out_channels: Sequence[int],
        out_strides: Sequence[int],
        sources: Sequence[int],
        channels: int = 256,
        eval_output: int | None = None,
        class_tokens: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if len(in_channels) != len(in_strides) or list(in_strides) != sorted(in_strides):
            raise ValueError(
                f"in_channels and ascending in_strides have one value for each level, got "
                f"{list(in_channels)} and {list(in_strides)}"
            )
        if not len(out_channels) == len(out_strides) == len(sources):
            raise ValueError(
                f"out_channels, out_strides and sources have one value for each output, got "
                f"{list(out_channels)}, {list(out_strides)} and {list(sources)}"
            )
        if any(not 0 <= source < len(in_channels) for source in sources):
            raise ValueError(
                f"sources are positions of the {len(in_channels)} levels, got {list(sources)}"
            )
        self.in_strides = tuple(in_strides)
        self.out_strides = tuple(out_strides)
        self.sources = tuple(sources)
        self.eval_output = eval_output
        self.class_tokens = class_tokens
        self.lateral_convs = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in in_channels)
        self.output_convs = nn.ModuleList(
            nn.Conv2d(channels, c, 3, padding=1) if c else NoChannels() for c in out_channels
        )

    def forward(self, inputs: Sequence[Tensor]) -> tuple | Tensor:
        """Compute the outputs.

        Args:
            inputs: Levels (N, in_channels[i], H[i], W[i]).

        Returns:
            Maps (N, out_channels[i], h, w) with ``h * out_stride`` the height that the source
            covers; with ``class_tokens`` pairs of a map and (N, out_channels[i]); in evaluation
            with ``eval_output`` only that map.
        """
        merged = [conv(x) for conv, x in zip(self.lateral_convs, inputs, strict=True)]
        for i in reversed(range(len(merged) - 1)):
            merged[i] = merged[i] + F.interpolate(
                merged[i + 1], merged[i].shape[-2:], mode="bilinear", align_corners=False
            )
        wanted: Sequence[int] = range(len(self.sources))
        if not self.training and self.eval_output is not None:
            wanted = [self.eval_output]
        outputs = [self.output_convs[i](self._resize(i, merged)) for i in wanted]
        if not self.training and self.eval_output is not None:
            return outputs[0]
        if self.class_tokens:
            return tuple((y, y.mean((2, 3))) for y in outputs)
        return tuple(outputs)

    def _resize(self, output: int, merged: list[Tensor]) -> Tensor:
        source, stride = self.sources[output], self.out_strides[output]
        x = merged[source]
        if stride in self.in_strides:
            height, width = merged[self.in_strides.index(stride)].shape[-2:]
        else:
            old = self.in_strides[source]
            height, width = (max(1, -(-n * old // stride)) for n in x.shape[-2:])
        size = (height, width)
        if size == tuple(x.shape[-2:]):
            return x
        if stride > self.in_strides[source]:
            return F.adaptive_avg_pool2d(x, size)
        return F.interpolate(x, size, mode="bilinear", align_corners=False)


class NoChannels(nn.Module):
    """Make a map without channels."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, 0, H, W) for a map (N, C, H, W)."""
        return x[:, :0]
