"""The parts of a ConvNeXt: block, layer norm over channels, GRN, drop path, downsampling.

Feature maps are (N, C, H, W). Every norm works on the channels-last view, so that after the first
one the memory stays channels-last and the permutes are free.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convnext_dense import kernels
from convnext_dense.kernels import reference
from convnext_dense.kernels.onednn.layer_norm import layer_norm

# Every published ConvNeXt but timm's xxlarge.
LAYER_NORM_EPS = 1e-6


def memory_format_of(x: Tensor) -> torch.memory_format:
    """Return whether (N, C, H, W) is laid out contiguously, or channels-last and not both."""
    if x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last):
        return torch.contiguous_format
    return torch.channels_last


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of each position of a (N, C, H, W) map."""

    def __init__(self, channels: int, eps: float = LAYER_NORM_EPS) -> None:
        super().__init__(channels, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise a (N, C, H, W) map; the result has the same shape."""
        x = x.permute(0, 2, 3, 1)
        if x.device.type == "cpu" and not kernels.is_transformed():
            # torch's own sums the gradients of weight and bias in bfloat16.
            return layer_norm(x, self.weight, self.bias, self.eps).permute(0, 3, 1, 2)
        return super().forward(x).permute(0, 3, 1, 2)


class GRN(nn.Module):
    """Global response normalisation (ConvNeXt V2, arXiv 2301.00808, section 3.3).

    Starts as the identity. The parameters have shape (channels,), so that any optimizer recipe that
    spares vectors from weight decay spares them too.
    """

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.gamma = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise a (N, H, W, C) map by its response over H and W."""
        return reference.global_response_norm(x, self.gamma, self.beta, self.eps)


class DropPath(nn.Module):
    """Stochastic depth per sample (arXiv 1603.09382); the identity outside training."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Zero whole samples of (N, ...) at ``rate`` and scale up the others."""
        if self.is_off():
            return x
        mask = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(1.0 - self.rate)
        return x * mask.mul_(self.scale)

    @property
    def scale(self) -> float:
        """The factor for the samples that are kept."""
        return 1.0 / (1.0 - self.rate)

    def is_off(self) -> bool:
        """Whether every sample is kept as it is."""
        return self.rate == 0.0 or not self.training

    def draw(self, x: Tensor) -> Tensor:
        """Choose the samples of (N, ...) to keep; return their indices, on the device of ``x``."""
        # Drawn on the CPU: how many there are must be known without waiting for a GPU.
        kept = (torch.rand(x.shape[0], device="cpu") >= self.rate).nonzero().squeeze(1)
        return kept.to(x.device, non_blocking=True)

    def extra_repr(self) -> str:
        """Show the rate in the model's printout."""
        return f"rate={self.rate:.3g}"


class DepthwiseConv2d(nn.Conv2d):
    """Depthwise convolution that keeps the size, with gradients laid out as its weight is."""

    def __init__(self, channels: int, kernel_size: int, dilation: int) -> None:
        super().__init__(
            channels,
            channels,
            kernel_size,
            padding=dilation * (kernel_size // 2),
            dilation=dilation,
            groups=channels,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        weight = self.weight
        # On channels-last maps the gradient of the (C, 1, k, k) weight comes with the strides of
        # a channels-last one. The buckets of DistributedDataParallel then copy it, and warn. This
        # view's backward pass restores the strides of a contiguous weight.
        if weight.stride(1) != 1:
            weight = weight.squeeze(1).unsqueeze(1)
        return self._conv_forward(x, weight, self.bias)


class CeilConv2d(nn.Conv2d):
    """Convolution whose kernel is its stride, which pads where pixels would be left over.

    The zeros come on the right and at the bottom. Where the stride divides the size, this is the
    plain convolution.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in, H, W) to (N, C_out, ceil(H / stride), ceil(W / stride))."""
        bottom, right = (-size % step for size, step in zip(x.shape[-2:], self.stride, strict=True))
        # While a graph is exported with free sizes they are no ints, and it pads whatever it gets.
        free = not (isinstance(bottom, int) and isinstance(right, int))
        if free or bottom or right:
            x = F.pad(x, (0, right, 0, bottom))
        return super().forward(x)


class SameSizeDownsample(nn.Conv2d):
    """The 2x2 downsampling convolution with its stride taken away.

    It pads on the right and at the bottom only, so that every even position sees exactly the
    pixels that the strided convolution saw there.
    """

    def __init__(self, in_channels: int, out_channels: int, dilation: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=2, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in, H, W) to (N, C_out, H, W)."""
        pad = self.dilation[0]
        return super().forward(F.pad(x, (0, pad, 0, pad)))


# The layers of a block but for drop path, and the classes of them that the fast paths compute.
_FAST_LAYERS = {
    "dwconv": (DepthwiseConv2d,),
    "norm": (nn.LayerNorm,),
    "pwconv1": (nn.Linear,),
    "act": (nn.GELU,),
    "grn": (GRN, nn.Identity),
    "pwconv2": (nn.Linear,),
}


class Block(nn.Module):
    """Depthwise convolution, norm, two linear layers, layer scale, drop path, residual.

    Source: facebookresearch/ConvNeXt, ``models/convnext.py``, in its channels-last form; with GRN
    facebookresearch/ConvNeXt-V2, ``models/convnextv2.py``.

    Args:
        channels: Width C of input and output.
        kernel_size: Odd size of the depthwise kernel.
        dilation: Dilation of the depthwise kernel.
        drop_path_rate: Probability in [0, 1) that a sample skips the block in training.
        layer_scale_init_value: Initial layer scale; 0 builds none.
        grn: Whether to put GRN after the activation.
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 7,
        dilation: int = 1,
        drop_path_rate: float = 0.0,
        layer_scale_init_value: float = 1.0,
        grn: bool = False,
    ) -> None:
        super().__init__()
        self.dwconv = DepthwiseConv2d(channels, kernel_size, dilation)
        self.norm = nn.LayerNorm(channels, eps=LAYER_NORM_EPS)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.act = nn.GELU()
        self.grn = GRN(4 * channels) if grn else nn.Identity()
        self.pwconv2 = nn.Linear(4 * channels, channels)
        self.gamma = (
            nn.Parameter(torch.full((channels,), float(layer_scale_init_value)))
            if layer_scale_init_value
            else None
        )
        self.drop_path = DropPath(drop_path_rate)
        self._packed_weights = kernels.PackedWeights()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        if not kernels.is_untouched(self.drop_path, DropPath) or kernels.is_every_call_hooked():
            return x + self.drop_path(self._branch(x))
        if self.drop_path.is_off():
            return self._add_branch(x)
        if kernels.is_transformed() or (x.is_cuda and torch.cuda.is_current_stream_capturing()):
            # The shapes in a graph must not depend on chance.
            return x + self.drop_path(self._branch(x))
        # Dropped samples cost no work. Where all are, an empty batch still goes through, so that
        # every parameter has a gradient.
        kept = self.drop_path.draw(x)
        if len(kept) == len(x):
            return self._add_branch(x, self.drop_path.scale)
        x = x.permute(0, 2, 3, 1)
        part = x.index_select(0, kept).permute(0, 3, 1, 2)
        part = self._add_branch(part, self.drop_path.scale).permute(0, 2, 3, 1)
        return x.to(part.dtype).index_copy(0, kept, part).permute(0, 3, 1, 2)

    def freeze(self) -> None:
        """Keep the block as it is, in eval mode: no parameter will get a gradient."""
        self.eval().requires_grad_(False)
        self._packed_weights = kernels.PackedWeights(frozen=True)

    def train(self, mode: bool = True) -> Block:
        """Set the mode, and forget the weights that were laid out for inference.

        mmengine's EMA writes averaged weights in a way that torch does not notice, and its loops
        set the mode after that.
        """
        self._packed_weights.clear()
        return super().train(mode)

    def _add_branch(self, x: Tensor, scale: float = 1.0) -> Tensor:
        """Add ``scale`` times the branch to its (N, C, H, W) input."""
        fast = self._fast_path(x)
        if fast is None:
            return x + (self._branch(x) if scale == 1.0 else scale * self._branch(x))
        shortcut = x.permute(0, 2, 3, 1).contiguous()
        y = fast.conv_norm(shortcut, self._conv_norm_parameters(), kernels.compute_dtype(x))
        return fast.mlp(shortcut, y, self._mlp_parameters(), scale).permute(0, 3, 1, 2)

    def _conv_norm_parameters(self) -> kernels.ConvNormParameters:
        layers: dict[str, Any] = self._modules
        conv, norm = layers["dwconv"], layers["norm"]
        return kernels.ConvNormParameters(
            conv.weight, conv.bias, norm.weight, norm.bias, conv.dilation[0], norm.eps
        )

    def _mlp_parameters(self) -> kernels.MLPParameters:
        layers: dict[str, Any] = self._modules
        first, second, grn = layers["pwconv1"], layers["pwconv2"], layers["grn"]
        parameters = kernels.MLPParameters(
            first.weight,
            first.bias,
            second.weight,
            second.bias,
            self.gamma,
            packed=self._packed_weights,
        )
        if isinstance(grn, GRN):
            return parameters._replace(grn_weight=grn.gamma, grn_bias=grn.beta, grn_eps=grn.eps)
        return parameters

    def _branch(self, x: Tensor) -> Tensor:
        """Compute what is added to the input, layer by layer, in plain torch."""
        y = self.dwconv(x).permute(0, 2, 3, 1)
        y = self.pwconv2(self.grn(self.act(self.pwconv1(self.norm(y)))))
        if self.gamma is not None:
            y = self.gamma * y
        return y.permute(0, 3, 1, 2)

    def _fast_path(self, x: Tensor) -> kernels.BlockFunctions | None:
        """Return the functions that compute this block for ``x``, or None for plain torch."""
        # Asked in every block of every pass: on a GPU each microsecond here is one that it waits.
        layers: dict[str, Any] = self._modules
        parameters = [p for name in _FAST_LAYERS for p in layers[name]._parameters.values()]
        if self.gamma is not None:
            parameters.append(self.gamma)
        fast = kernels.fast_path(x, *parameters)
        return fast if fast is not None and self._is_as_built() else None

    def _is_as_built(self) -> bool:
        """Whether the layers, and their settings, are those that a block is built with."""
        layers: dict[str, Any] = self._modules
        if not all(
            kernels.is_untouched(layers[name], *classes) for name, classes in _FAST_LAYERS.items()
        ):
            return False
        conv = layers["dwconv"]
        padding = conv.dilation[0] * (conv.kernel_size[0] // 2)
        return (
            layers["act"].approximate == "none"
            and conv.padding_mode == "zeros"
            and conv.dilation[0] == conv.dilation[1]
            and conv.padding == (padding, padding)
        )
