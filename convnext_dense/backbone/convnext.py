"""ConvNeXt V1 and V2 as a backbone: one image in, a map of features per stage out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from mmengine.model import BaseModule, PretrainedInit
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from convnext_dense.backbone.archs import Arch, resolve_arch
from convnext_dense.backbone.block import (
    Block,
    CeilConv2d,
    LayerNorm2d,
    SameSizeDownsample,
    memory_format_of,
)
from convnext_dense.registry import WEIGHT_INITIALIZERS

# The published layer decay groups the blocks of a stage by three (paper, appendix A.3).
BLOCKS_PER_LAYER = 3
# What init_cfg may ask of load_weights.
WEIGHT_OPTIONS = ("prefix", "ema", "final_norm", "adapt_input")


class ConvNeXt(BaseModule):
    """ConvNeXt (arXiv 2201.03545) and ConvNeXt V2 (arXiv 2301.00808) for dense prediction.

    Parameter names are those of facebookresearch/ConvNeXt. Only what the outputs need is built: no
    stage beyond the last output, no norm for a stage that is not given out.

    Args:
        arch: A name (``tiny``, ``v2_base``, ``iso_small``, ...; see
            :data:`convnext_dense.backbone.ARCHS`), or ``dict(depths=..., channels=...,
            grn=False, isotropic=False)`` with any number of stages.
        in_channels: Channels of the input.
        out_indices: The stages whose features are given out, ascending; negative ones count from
            the last stage. An isotropic network has one stage: ``(0,)``.
        drop_path_rate: Stochastic depth of the last block, in [0, 1); it grows linearly from 0 at
            the first block.
        layer_scale_init_value: Initial layer scale. None means what is published for dense
            prediction: 1.0 for V1 and none for V2; and for isotropic networks: none, and 1e-6 for
            ``iso_large``. 0 builds none.
        output_stride: Cap on the stride of the stages: 8, 16 or 32 (64, ... with more than four
            stages). Stages beyond it are dilated instead; the parameters are the same. The one
            stage of an isotropic network has stride 16 and cannot be dilated.
        kernel_size: Odd size of the depthwise kernels.
        frozen_stages: -1 freezes nothing, 0 the stem, n the stem and the first n stages with their
            downsampling and output norms. What is frozen stays in eval mode, without stochastic
            depth, and costs what it costs in inference: autograd keeps nothing of it, unless the
            images themselves need a gradient.
        with_cp: Recompute each block in the backward pass to save memory, but no frozen one.
        norm_out: Whether a layer norm ``norm{i}`` follows each output. False gives the raw stages.
        ceil_mode: Whether sizes round up at each downsampling, as in a ResNet: the stem and the
            strided downsamplings pad with zeros on the right and at the bottom where their stride
            leaves pixels over. False drops those pixels, as published.
        init_cfg: ``dict(type='Pretrained', checkpoint=PATH_OR_URL)``, with the options ``prefix``,
            ``ema``, ``final_norm`` and ``adapt_input`` of :func:`convnext_dense.load_weights`; or
            None, which leaves the published random initialisation (truncated normal, std 0.02).

    Attributes:
        out_channels: Channels of each output.
        out_strides: Stride of each output to the input.

    Raises:
        ValueError: Where an argument is outside of its range; the message names the range.

    Example:
        >>> import torch
        >>> net = ConvNeXt("atto", out_indices=(1, 2, 3))
        >>> net.out_channels, net.out_strides
        ((80, 160, 320), (8, 16, 32))
        >>> [tuple(y.shape) for y in net(torch.zeros(1, 3, 64, 96))]
        [(1, 80, 8, 12), (1, 160, 4, 6), (1, 320, 2, 3)]
    """

    def __init__(
        self,
        arch: str | Mapping | Arch = "tiny",
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        drop_path_rate: float = 0.0,
        layer_scale_init_value: float | None = None,
        output_stride: int = 32,
        kernel_size: int = 7,
        frozen_stages: int = -1,
        with_cp: bool = False,
        norm_out: bool = True,
        ceil_mode: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.arch = resolve_arch(arch)
        num_stages = len(self.arch.depths)
        self.out_indices = _resolve_out_indices(out_indices, self.arch)
        if layer_scale_init_value is None:
            layer_scale_init_value = self.arch.initial_layer_scale
        _check_range("in_channels", in_channels, in_channels >= 1, "at least 1")
        _check_range("drop_path_rate", drop_path_rate, 0 <= drop_path_rate < 1, "in [0, 1)")
        _check_range(
            "layer_scale_init_value",
            layer_scale_init_value,
            layer_scale_init_value >= 0,
            "0 or more",
        )
        _check_range("kernel_size", kernel_size, kernel_size % 2 == 1 <= kernel_size, "odd")
        _check_range(
            "frozen_stages", frozen_stages, -1 <= frozen_stages <= num_stages, f"-1 to {num_stages}"
        )
        strides = [8, 16, 32, *(2 ** (stage + 2) for stage in range(4, num_stages))]
        if self.arch.isotropic:
            strides.remove(8)
        allowed = f"one of {strides}" + " for an isotropic arch" * self.arch.isotropic
        _check_range("output_stride", output_stride, output_stride in strides, allowed)
        self.frozen_stages = frozen_stages
        self.with_cp = with_cp
        self.norm_out = norm_out

        channels = self.arch.channels
        num_built = self.out_indices[-1] + 1
        # The rates follow the whole architecture, whatever part of it is built.
        rates = torch.linspace(0, drop_path_rate, sum(self.arch.depths), device="cpu").tolist()
        self.downsample_layers = nn.ModuleList()
        self.stages = nn.ModuleList()
        stage_strides = []
        patch = stride = self.arch.stem_stride
        dilation = 1
        strided_conv = CeilConv2d if ceil_mode else nn.Conv2d
        for stage in range(num_built):
            if stage == 0:
                downsample = nn.Sequential(
                    strided_conv(in_channels, channels[0], kernel_size=patch, stride=patch)
                )
                if not self.arch.isotropic:
                    downsample.append(LayerNorm2d(channels[0]))
            else:
                before, width = channels[stage - 1], channels[stage]
                conv: nn.Conv2d
                if stride < output_stride:
                    conv = strided_conv(before, width, kernel_size=2, stride=2)
                    stride *= 2
                else:
                    conv = SameSizeDownsample(before, width, dilation)
                    dilation *= 2
                downsample = nn.Sequential(LayerNorm2d(before), conv)
            self.downsample_layers.append(downsample)
            first = sum(self.arch.depths[:stage])
            self.stages.append(
                nn.Sequential(
                    *(
                        Block(
                            channels[stage],
                            kernel_size=kernel_size,
                            dilation=dilation,
                            drop_path_rate=rates[first + block],
                            layer_scale_init_value=layer_scale_init_value,
                            grn=self.arch.grn,
                        )
                        for block in range(self.arch.depths[stage])
                    )
                )
            )
            stage_strides.append(stride)
        if norm_out:
            for stage in self.out_indices:
                self.add_module(f"norm{stage}", LayerNorm2d(channels[stage]))
        self.out_channels = tuple(channels[stage] for stage in self.out_indices)
        self.out_strides = tuple(stage_strides[stage] for stage in self.out_indices)
        self._least_size = 1 if ceil_mode else stage_strides[-1]

        self._init_randomly()
        self._freeze()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the features of the stages in ``out_indices``.

        Args:
            x: Images, (N, in_channels, H, W), at least as large as the last stride; of any size
                with ``ceil_mode``.

        Returns:
            One map (N, ``out_channels[i]``, H / ``out_strides[i]``, W / ``out_strides[i]``) per
            output, rounded down, or up with ``ceil_mode``; laid out in memory as the images are:
            contiguous or channels-last.

        Raises:
            ValueError: Where an image is smaller than the last stride.
        """
        _check_size(x, self._least_size)
        # Inside, memory is channels-last. A compiled mmcv reads feature maps as contiguous whatever
        # their strides are, and its RoIAlign would return other values without an error.
        memory_format = memory_format_of(x)
        outputs = []
        for stage, downsample in enumerate(self.downsample_layers):
            x = downsample(x)
            blocks: Any = self.stages[stage]
            recompute = self.with_cp and torch.is_grad_enabled() and stage >= self.frozen_stages
            for block in blocks:
                if recompute:
                    x = checkpoint(block, x, use_reentrant=False)
                else:
                    x = block(x)
            if stage in self.out_indices:
                output = getattr(self, f"norm{stage}")(x) if self.norm_out else x
                outputs.append(output.contiguous(memory_format=memory_format))
        return tuple(outputs)

    def init_weights(self) -> None:
        """Load the weights that ``init_cfg`` names; what does not match is an error.

        Called by mmengine's runner before training, on every rank.

        Raises:
            RuntimeError: Where the file's parameters are not this network's.
            ValueError: Where ``init_cfg`` lists something beside the weights, or an option that
                there is not.
        """
        init_cfgs = self.init_cfg if isinstance(self.init_cfg, list) else [self.init_cfg or {}]
        pretrained = [cfg for cfg in init_cfgs if cfg.get("type") in ("Pretrained", PretrainedInit)]
        if not pretrained or self.is_init:
            super().init_weights()
            return
        if len(init_cfgs) > 1:
            raise ValueError(
                f"init_cfg names pretrained weights alone, since they fill the whole backbone, got "
                f"{self.init_cfg}"
            )
        options = {k: v for k, v in pretrained[0].items() if k not in ("type", "checkpoint")}
        unknown = set(options) - set(WEIGHT_OPTIONS)
        if unknown:
            raise ValueError(
                f"init_cfg has no option {', '.join(sorted(unknown))}: beside type and checkpoint "
                f"it takes {', '.join(WEIGHT_OPTIONS)}"
            )
        # By its name, since the room that reads checkpoints imports this one.
        load = WEIGHT_INITIALIZERS.get("PublishedWeights")
        load(pretrained[0]["checkpoint"], **options)(self)
        self._is_init = True

    def train(self, mode: bool = True) -> ConvNeXt:
        """Set the mode, but leave what is frozen in eval mode."""
        super().train(mode)
        for module in self._frozen_modules():
            module.eval()
        return self

    @property
    def num_layers(self) -> int:
        """How many layers the layer-wise decay counts: 6 for tiny, 12 for small to xlarge.

        Of an isotropic network each block is one, as in a ViT: 18 and 36.
        """
        return sum(math.ceil(depth / self._blocks_per_layer) for depth in self.arch.depths)

    def layer_id(self, name: str, decay_type: str = "layer_wise") -> int:
        """Return the layer that a parameter belongs to, for learning rates that decay with depth.

        The published rule (facebookresearch/ConvNeXt, ``mmcv_custom/layer_decay_optimizer_
        constructor.py``) for any depth: a parameter's rate is
        ``decay ** (num_layers + 1 - layer_id)``.

        Args:
            name: Parameter name in this module, such as ``stages.2.4.dwconv.weight``.
            decay_type: ``layer_wise``: three blocks make a layer, a downsampling belongs to the
                layer that follows it; of an isotropic network each block is a layer, as in
                ViT's published decay (microsoft/unilm, ``beit/optim_factory.py``).
                ``stage_wise``: a stage is a layer, stem and downsamplings are layer 0.

        Returns:
            0 for the stem up to ``num_layers + 1`` for the output norms, which do not decay.

        Raises:
            ValueError: On another ``decay_type``.

        Example:
            >>> ConvNeXt("tiny").layer_id("stages.2.4.dwconv.weight")
            4
        """
        if decay_type not in ("layer_wise", "stage_wise"):
            raise ValueError(f"decay_type is layer_wise or stage_wise, got {decay_type!r}")
        part, *rest = name.split(".")
        if part not in ("downsample_layers", "stages"):
            return self.num_layers + 1
        stage = int(rest[0])
        if decay_type == "stage_wise":
            return 0 if part == "downsample_layers" else stage + 1
        if part == "downsample_layers" and stage == 0:
            return 0
        block = int(rest[1]) if part == "stages" else 0
        each = self._blocks_per_layer
        before = sum(math.ceil(depth / each) for depth in self.arch.depths[:stage])
        return 1 + before + block // each

    @property
    def _blocks_per_layer(self) -> int:
        return 1 if self.arch.isotropic else BLOCKS_PER_LAYER

    def _init_randomly(self) -> None:
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def _frozen_modules(self) -> list[nn.Module]:
        frozen = list(self.downsample_layers[:1]) if self.frozen_stages >= 0 else []
        for stage in range(min(self.frozen_stages, len(self.stages))):
            frozen += [self.downsample_layers[stage], self.stages[stage]]
            if self.norm_out and stage in self.out_indices:
                frozen.append(getattr(self, f"norm{stage}"))
        return frozen

    def _freeze(self) -> None:
        for module in self._frozen_modules():
            module.eval().requires_grad_(False)
            for block in module.modules():
                if isinstance(block, Block):
                    block.freeze()


def _check_size(x: Tensor, least: int) -> None:
    height, width = x.shape[-2:]
    # While a graph is exported with free sizes they are no ints.
    if isinstance(height, int) and isinstance(width, int) and min(height, width) < least:
        raise ValueError(
            f"the images are at least {least} x {least} pixels, the last stride, got "
            f"{height} x {width}: make them larger, or set ceil_mode=True, which pads them"
        )


def _resolve_out_indices(out_indices: Sequence[int], arch: Arch) -> tuple[int, ...]:
    num_stages = len(arch.depths)
    allowed = f"ascending stages from {-num_stages} to {num_stages - 1}"
    if arch.isotropic:
        allowed = "the one stage of an isotropic arch, (0,)"
    if isinstance(out_indices, str) or not isinstance(out_indices, Sequence) or not out_indices:
        raise ValueError(f"out_indices holds {allowed}, got {out_indices!r}")
    if any(not isinstance(i, int) or not -num_stages <= i < num_stages for i in out_indices):
        raise ValueError(f"out_indices holds {allowed}, got {tuple(out_indices)}")
    resolved = tuple(i % num_stages for i in out_indices)
    if any(a >= b for a, b in pairwise(resolved)):
        raise ValueError(f"out_indices holds {allowed}, each once, got {tuple(out_indices)}")
    return resolved


def _check_range(name: str, value: float, holds: bool, allowed: str) -> None:
    if not holds:
        raise ValueError(f"{name} is {allowed}, got {value!r}")
