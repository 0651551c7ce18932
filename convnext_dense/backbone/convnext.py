"""ConvNeXt V1 and V2 as a backbone: one image in, a map of features per stage out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from convnext_dense.backbone.archs import Arch, resolve_arch
from convnext_dense.backbone.block import Block, CeilConv2d, LayerNorm2d, SameSizeDownsample
from convnext_dense.backbone.staged import StagedBackbone, check_range


class ConvNeXt(StagedBackbone):
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
        own = resolve_arch(arch)
        super().__init__(
            own.depths, out_indices, drop_path_rate, frozen_stages, with_cp, init_cfg=init_cfg
        )
        self.arch = own
        num_stages = len(own.depths)
        if layer_scale_init_value is None:
            layer_scale_init_value = own.initial_layer_scale
        check_range("in_channels", in_channels, in_channels >= 1, "at least 1")
        check_range(
            "layer_scale_init_value",
            layer_scale_init_value,
            layer_scale_init_value >= 0,
            "0 or more",
        )
        check_range("kernel_size", kernel_size, kernel_size % 2 == 1 <= kernel_size, "odd")
        strides = [8, 16, 32, *(2 ** (stage + 2) for stage in range(4, num_stages))]
        if own.isotropic:
            strides.remove(8)
        allowed = f"one of {strides}" + " for an isotropic arch" * own.isotropic
        check_range("output_stride", output_stride, output_stride in strides, allowed)
        self.norm_out = norm_out
        if own.isotropic:
            self.blocks_per_layer = 1

        channels = own.channels
        self.downsample_layers = nn.ModuleList()
        self.stages = nn.ModuleList()
        stage_strides = []
        patch = stride = own.stem_stride
        dilation = 1
        strided_conv = CeilConv2d if ceil_mode else nn.Conv2d
        for stage in range(self.num_built):
            if stage == 0:
                downsample = nn.Sequential(
                    strided_conv(in_channels, channels[0], kernel_size=patch, stride=patch)
                )
                if not own.isotropic:
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
            self.stages.append(
                nn.Sequential(
                    *(
                        Block(
                            channels[stage],
                            kernel_size=kernel_size,
                            dilation=dilation,
                            drop_path_rate=rate,
                            layer_scale_init_value=layer_scale_init_value,
                            grn=own.grn,
                        )
                        for rate in self.drop_path_rates[stage]
                    )
                )
            )
            stage_strides.append(stride)
        if norm_out:
            for stage in self.out_indices:
                self.add_module(f"norm{stage}", LayerNorm2d(channels[stage]))
        self.out_channels = tuple(channels[stage] for stage in self.out_indices)
        self.out_strides = tuple(stage_strides[stage] for stage in self.out_indices)
        self.least_size = 1 if ceil_mode else stage_strides[-1]
        self.finish()

    def enter_stage(self, stage: int, x: Tensor) -> Tensor:
        """Compute the stem, or the downsampling before a stage."""
        return self.downsample_layers[stage](x)

    def blocks_of(self, stage: int) -> Iterable[nn.Module]:
        """Return the blocks of a stage."""
        blocks: Any = self.stages[stage]
        return blocks

    def leave_stage(self, stage: int, x: Tensor) -> Tensor:
        """Compute the norm of an output."""
        return getattr(self, f"norm{stage}")(x) if self.norm_out else x

    def modules_of(self, stage: int) -> list[nn.Module]:
        """Return the modules of a stage, with its downsampling and output norm; -1: the stem's."""
        if stage == -1:
            return [self.downsample_layers[0]]
        modules = [self.downsample_layers[stage], self.stages[stage]]
        if self.norm_out and stage in self.out_indices:
            modules.append(getattr(self, f"norm{stage}"))
        return modules

    def place_of(self, name: str) -> tuple[int, int | None] | None:
        """Return stage and block of a parameter; of a downsampling None for the block."""
        part, *rest = name.split(".")
        if part not in ("downsample_layers", "stages"):
            return None
        return int(rest[0]), int(rest[1]) if part == "stages" else None
