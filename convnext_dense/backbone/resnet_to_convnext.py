"""The networks from ResNet to ConvNeXt, as :mod:`convnext_dense.backbone.roadmap` says them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from itertools import pairwise
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from convnext_dense.backbone.block import CeilConv2d, DropPath, LayerNorm2d
from convnext_dense.backbone.convnext import ConvNeXt
from convnext_dense.backbone.roadmap import FIRST, REGIMES, Step, check_regime, find_step
from convnext_dense.backbone.staged import StagedBackbone, check_range

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": partial(nn.ReLU, inplace=True),
    "gelu": nn.GELU,
}
# By mmengine's names.
BATCH_NORMS: dict[str, type[nn.Module]] = {"BN": nn.BatchNorm2d, "SyncBN": nn.SyncBatchNorm}


class Bottleneck(nn.Module):
    """A block of every step but the last: three convolutions and a shortcut.

    The names are ResNet's: ``conv1`` to ``conv3`` in the order in which they run, ``bn1`` (or
    ``ln1``) for the norm after the first, and ``downsample`` for the convolution in the shortcut,
    which there is where a block changes width or size.

    Args:
        step: What the block is made of.
        in_channels: Channels of the input.
        channels: Channels of the output.
        norm: Class of the norms.
        stride: Stride of the convolution that looks around.
        dilation: Its dilation.
        drop_path_rate: Probability in [0, 1) that a sample skips the block in training.
    """

    def __init__(
        self,
        step: Step,
        in_channels: int,
        channels: int,
        norm: type[nn.Module],
        *,
        stride: int = 1,
        dilation: int = 1,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        hidden = 4 * channels if step.inverted else channels // 4
        if step.depthwise_first:
            widths, looking_around = (in_channels, in_channels, hidden, channels), 1
        else:
            widths, looking_around = (in_channels, hidden, hidden, channels), 2
        # Which convolutions a norm follows, and an activation.
        normed = {1} if step.one_norm else {1, 2, 3}
        activated = {2} if step.one_activation else {1, 2}
        layers: dict[str, nn.Module] = {}
        for number, (before, after) in enumerate(pairwise(widths), start=1):
            settings: dict[str, Any] = dict(kernel_size=1)
            if number == looking_around:
                settings = dict(
                    kernel_size=step.kernel_size,
                    stride=stride,
                    padding=dilation * (step.kernel_size // 2),
                    dilation=dilation,
                    groups=after if step.depthwise else 1,
                )
            pair = conv_and_norm(norm if number in normed else None, before, after, **settings)
            layers |= by_name(number, pair)
            if number in activated:
                layers[f"act{number}"] = ACTIVATIONS[step.activation]()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.branch = tuple(layers)
        self.downsample = None
        if stride > 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                *conv_and_norm(
                    None if step.one_norm else norm,
                    in_channels,
                    channels,
                    kernel_size=1,
                    stride=stride,
                )
            )
        self.drop_path = DropPath(drop_path_rate)
        self.last_act = nn.Identity() if step.one_activation else ACTIVATIONS[step.activation]()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, channels, H / stride, W / stride), rounded up."""
        y = x
        for name in self.branch:
            y = getattr(self, name)(y)
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.last_act(self.drop_path(y) + shortcut)


def conv_and_norm(
    norm: type[nn.Module] | None,
    before: int,
    after: int,
    conv: type[nn.Conv2d] = nn.Conv2d,
    **settings: Any,
) -> list[nn.Module]:
    """Return a convolution and, if there is one, the norm after it."""
    # A batch norm would take a bias away again.
    bias = norm is None or not issubclass(norm, _BatchNorm)
    return [conv(before, after, bias=bias, **settings), *([norm(after)] if norm else [])]


def by_name(number: int, layers: Sequence[nn.Module]) -> dict[str, nn.Module]:
    """Return a convolution and the norm after it by the names that ResNet gives them."""
    names = ["conv", "bn" if isinstance(layers[-1], _BatchNorm) else "ln"]
    return {f"{name}{number}": layer for name, layer in zip(names, layers, strict=False)}


def read_norm_cfg(norm_cfg: Mapping | None) -> tuple[str, bool]:
    """Return the kind of batch norms, and whether their weights and biases are trained.

    Raises:
        ValueError: If it has another type or key.
    """
    given = dict(norm_cfg or {})
    kind, has_grad = given.pop("type", "BN"), given.pop("requires_grad", True)
    if given or kind not in BATCH_NORMS:
        raise ValueError(
            f"norm_cfg has the type {' or '.join(BATCH_NORMS)} and perhaps requires_grad, got "
            f"{dict(norm_cfg or {})}"
        )
    return kind, bool(has_grad)


class ResNetToConvNeXt(StagedBackbone):
    """A backbone on the road from ResNet to ConvNeXt (arXiv 2201.03545, section 2).

    Of the step ``resnet`` the parameters have the names of torchvision's, timm's and mmdet's
    ResNet, so that their files load; other steps keep these names for what they keep. The last step
    is a :class:`~convnext_dense.ConvNeXt`, of that very class.

    Sizes are rounded up at each stride, as ResNet does. Only a stem that cuts patches rounds down,
    unless ``ceil_mode`` is set; and ConvNeXt always does.

    Args:
        step: A name in :data:`convnext_dense.backbone.roadmap.STEPS`.
        regime: ``tiny``, from ResNet-50 to ConvNeXt-T, or ``base``, from ResNet-200 to ConvNeXt-B.
        in_channels: Channels of the input.
        out_indices: The stages whose features are given out, ascending; negative ones count from
            the last stage.
        drop_path_rate: Stochastic depth of the last block, in [0, 1); it grows linearly from 0 at
            the first block.
        output_stride: Cap on the stride of the stages: 8, 16 or 32. Stages beyond it are dilated
            instead; the parameters are the same. The stem cannot be dilated.
        frozen_stages: -1 freezes nothing, 0 the stem, n the stem and the first n stages. What is
            frozen stays in eval mode.
        with_cp: Recompute each block in the backward pass to save memory.
        norm_eval: Whether batch norms keep their statistics in training. A layer norm has none.
        norm_cfg: Of the batch norms: ``dict(type='BN')``, or ``dict(type='SyncBN')`` for statistics
            over the images of all processes; ``requires_grad=False`` keeps weights and biases.
            Layer norms take none of it.
        ceil_mode: Whether a stem that cuts patches pads with zeros on the right and at the bottom
            where its stride leaves pixels over.
        init_cfg: ``dict(type='Pretrained', checkpoint=PATH_OR_URL)`` of the same step and regime,
            with options as for ConvNeXt; or None, which leaves random values (truncated normal,
            std 0.02).

    Attributes:
        out_channels: Channels of each output.
        out_strides: Stride of each output to the input.

    Raises:
        ValueError: If there is no such step or regime, or an argument is outside of its range.

    Example:
        >>> net = ResNetToConvNeXt("inverted_bottleneck", out_indices=(1, 3))
        >>> net.out_channels, net.out_strides
        ((192, 768), (8, 32))
        >>> type(ResNetToConvNeXt("separate_downsampling")).__name__
        'ConvNeXt'
    """

    def __new__(
        cls, step: str = FIRST, regime: str = REGIMES[0], **options: Any
    ) -> ResNetToConvNeXt | ConvNeXt:
        """Return the network of a step; of the last it is a ConvNeXt."""
        if not find_step(step).is_convnext:
            return super().__new__(cls)
        check_regime(regime)
        # It has no batch norms.
        of_convnext = {k: v for k, v in options.items() if k not in ("norm_eval", "norm_cfg")}
        return ConvNeXt(regime, **of_convnext)

    def __init__(
        self,
        step: str = FIRST,
        regime: str = REGIMES[0],
        *,
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        drop_path_rate: float = 0.0,
        output_stride: int = 32,
        frozen_stages: int = -1,
        with_cp: bool = False,
        norm_eval: bool = False,
        norm_cfg: Mapping | None = None,
        ceil_mode: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        own = find_step(step)
        check_regime(regime)
        depths = own.depths[regime]
        super().__init__(
            depths, out_indices, drop_path_rate, frozen_stages, with_cp, init_cfg=init_cfg
        )
        check_range("in_channels", in_channels, in_channels >= 1, "at least 1")
        allowed = "one of 8, 16, 32, since a stem cannot be dilated"
        check_range("output_stride", output_stride, output_stride in (8, 16, 32), allowed)
        self.step = step
        self.regime = regime
        self.norm_eval = norm_eval
        kind, has_grad = read_norm_cfg(norm_cfg)
        norm = BATCH_NORMS[kind] if own.norm == "batch" else LayerNorm2d

        width, stem_norm = own.width[regime], None if own.one_norm else norm
        if own.patchify_stem:
            conv = CeilConv2d if ceil_mode else nn.Conv2d
            pair = conv_and_norm(stem_norm, in_channels, width, conv, kernel_size=4, stride=4)
        else:
            pair = conv_and_norm(stem_norm, in_channels, width, kernel_size=7, stride=2, padding=3)
        stem = by_name(1, pair)
        if not own.one_activation:
            stem["act"] = ACTIVATIONS[own.activation]()
        if not own.patchify_stem:
            stem["maxpool"] = nn.MaxPool2d(3, stride=2, padding=1)
        for name, layer in stem.items():
            self.add_module(name, layer)
        self.stem = tuple(stem)
        self.least_size = 4 if own.patchify_stem and not ceil_mode else 1

        strides = []
        before, stride, dilation = width, 4, 1
        for stage, channels in enumerate(own.channels(regime)[: self.num_built]):
            # The first block of a stage looks around as far as the stage before it.
            first = dict(stride=1, dilation=dilation)
            if stage and stride < output_stride:
                first["stride"] = 2
                stride *= 2
            elif stage:
                dilation *= 2
            blocks = [
                Bottleneck(
                    own,
                    before if block == 0 else channels,
                    channels,
                    norm,
                    drop_path_rate=self.drop_path_rates[stage][block],
                    **(first if block == 0 else dict(dilation=dilation)),
                )
                for block in range(depths[stage])
            ]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
            strides.append(stride)
            before = channels
        self.out_channels = tuple(own.channels(regime)[stage] for stage in self.out_indices)
        self.out_strides = tuple(strides[stage] for stage in self.out_indices)
        for module in self.modules():
            if isinstance(module, _BatchNorm):
                module.requires_grad_(has_grad)
        self.finish()

    def enter_stage(self, stage: int, x: Tensor) -> Tensor:
        """Compute the stem before the first stage; the others begin with their blocks."""
        for name in self.stem if stage == 0 else ():
            x = getattr(self, name)(x)
        return x

    def blocks_of(self, stage: int) -> nn.Sequential:
        """Return the blocks of a stage."""
        return getattr(self, f"layer{stage + 1}")

    def modules_of(self, stage: int) -> list[nn.Module]:
        """Return the modules of a stage; -1: the stem's."""
        if stage == -1:
            return [getattr(self, name) for name in self.stem]
        return [self.blocks_of(stage)]

    def place_of(self, name: str) -> tuple[int, int | None]:
        """Return stage and block of a parameter; of the stem 0 and None."""
        part, *rest = name.split(".")
        if not part.startswith("layer"):
            return 0, None
        return int(part.removeprefix("layer")) - 1, int(rest[0])

    def train(self, mode: bool = True) -> ResNetToConvNeXt:
        """Set the mode, but leave in eval mode what is frozen and, if asked for, batch norms."""
        super().train(mode)
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def recomputed(self, block: nn.Module, x: Tensor) -> Tensor:
        """Compute a block, and in the backward pass again, but count its images once."""

        def contexts() -> tuple[AbstractContextManager, AbstractContextManager]:
            return nullcontext(), _kept_statistics(block)

        return checkpoint(block, x, use_reentrant=False, context_fn=contexts)


@contextmanager
def _kept_statistics(block: nn.Module) -> Iterator[None]:
    """Keep the running statistics of batch norms while a block is computed again."""
    norms = [m for m in block.modules() if isinstance(m, _BatchNorm) and m.training]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked -= 1
