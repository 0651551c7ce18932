"""What backbones of stages have in common: their outputs, frozen parts, weights and layers."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TypeVar

import torch
from mmengine.model import BaseModule, PretrainedInit
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from convnext_dense.backbone.block import Block, memory_format_of
from convnext_dense.registry import WEIGHT_INITIALIZERS

# The published layer decay groups the blocks of a stage by three (paper, appendix A.3).
BLOCKS_PER_LAYER = 3
# What init_cfg may ask of load_weights.
WEIGHT_OPTIONS = ("prefix", "ema", "final_norm", "adapt_input")
Self = TypeVar("Self", bound="StagedBackbone")


class StagedBackbone(BaseModule):
    """A network of stages for dense prediction: one image in, a map of features per output.

    A subclass builds the stages up to the last output, sets the attributes below, and calls
    :meth:`finish`.

    Args:
        depths: Blocks in each stage of the whole network.
        out_indices: The stages whose features are given out, ascending; negative ones count from
            the last stage.
        drop_path_rate: Stochastic depth of the last block, in [0, 1); it grows linearly from 0 at
            the first block.
        frozen_stages: -1 freezes nothing, 0 the stem, n the stem and the first n stages.
        with_cp: Recompute each block in the backward pass to save memory, but no frozen one.
        init_cfg: Weights, as :meth:`init_weights` takes them.

    Attributes:
        out_channels: Channels of each output.
        out_strides: Stride of each output to the input.
        least_size: The least height and width of an image.
    """

    out_channels: tuple[int, ...]
    out_strides: tuple[int, ...]
    least_size: int
    blocks_per_layer = BLOCKS_PER_LAYER

    def __init__(
        self,
        depths: Sequence[int],
        out_indices: Sequence[int],
        drop_path_rate: float,
        frozen_stages: int,
        with_cp: bool,
        init_cfg: dict | None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        num_stages = len(depths)
        check_range("drop_path_rate", drop_path_rate, 0 <= drop_path_rate < 1, "in [0, 1)")
        check_range(
            "frozen_stages", frozen_stages, -1 <= frozen_stages <= num_stages, f"-1 to {num_stages}"
        )
        self.depths = tuple(depths)
        self.out_indices = resolve_out_indices(out_indices, num_stages)
        self.num_built = self.out_indices[-1] + 1
        self.frozen_stages = frozen_stages
        self.with_cp = with_cp
        # The rates follow the whole network, whatever part of it is built.
        rates = torch.linspace(0, drop_path_rate, sum(depths), device="cpu")
        self.drop_path_rates = [stage.tolist() for stage in rates.split(self.depths)]

    @abstractmethod
    def enter_stage(self, stage: int, x: Tensor) -> Tensor:
        """Compute what stands before the blocks of a stage: the stem, or a downsampling."""

    @abstractmethod
    def blocks_of(self, stage: int) -> Iterable[nn.Module]:
        """Return the blocks of a stage, in order."""

    def leave_stage(self, stage: int, x: Tensor) -> Tensor:
        """Compute an output from what a stage's last block gives."""
        return x

    @abstractmethod
    def modules_of(self, stage: int) -> Iterable[nn.Module]:
        """Return all modules of a stage, those of its entry and its output too; -1: the stem's."""

    @abstractmethod
    def place_of(self, name: str) -> tuple[int, int | None] | None:
        """Return where a parameter is.

        Args:
            name: Parameter name in this module.

        Returns:
            Its stage, and its block there, or None for the stem and downsamplings; None for what
            comes after the stages.
        """

    def finish(self) -> None:
        """Set the published random values, and freeze what is frozen."""
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in self._frozen_modules():
            module.eval().requires_grad_(False)
            for block in module.modules():
                if isinstance(block, Block):
                    block.freeze()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the features of the stages in ``out_indices``.

        Args:
            x: Images, (N, in_channels, H, W), of ``least_size`` or more.

        Returns:
            One map (N, ``out_channels[i]``, H / ``out_strides[i]``, W / ``out_strides[i]``) per
            output, rounded as the class says; laid out in memory as the images are: contiguous or
            channels-last.

        Raises:
            ValueError: If an image is too small.
        """
        check_size(x, self.least_size)
        # Inside, memory is channels-last. A compiled mmcv reads feature maps as contiguous whatever
        # their strides are, and its RoIAlign would return other values without an error.
        memory_format = memory_format_of(x)
        outputs = []
        for stage in range(self.num_built):
            x = self.enter_stage(stage, x)
            recompute = self.with_cp and torch.is_grad_enabled() and stage >= self.frozen_stages
            for block in self.blocks_of(stage):
                if recompute:
                    x = self.recomputed(block, x)
                else:
                    x = block(x)
            if stage in self.out_indices:
                output = self.leave_stage(stage, x)
                outputs.append(output.contiguous(memory_format=memory_format))
        return tuple(outputs)

    def recomputed(self, block: nn.Module, x: Tensor) -> Tensor:
        """Compute a block now, and once more in the backward pass."""
        return checkpoint(block, x, use_reentrant=False)

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

    def train(self: Self, mode: bool = True) -> Self:
        """Set the mode, but leave what is frozen in eval mode."""
        super().train(mode)
        for module in self._frozen_modules():
            module.eval()
        return self

    @property
    def num_layers(self) -> int:
        """How many layers the layer-wise decay counts: of ConvNeXt 6 for tiny, 12 for base.

        Of an isotropic network each block is one, as in a ViT: 18 and 36.
        """
        return sum(map(self._layers_in, self.depths))

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
            >>> from convnext_dense import ConvNeXt
            >>> ConvNeXt("tiny").layer_id("stages.2.4.dwconv.weight")
            4
        """
        if decay_type not in ("layer_wise", "stage_wise"):
            raise ValueError(f"decay_type is layer_wise or stage_wise, got {decay_type!r}")
        place = self.place_of(name)
        if place is None:
            return self.num_layers + 1
        stage, block = place
        if decay_type == "stage_wise":
            return 0 if block is None else stage + 1
        if place == (0, None):
            return 0
        before = sum(map(self._layers_in, self.depths[:stage]))
        return 1 + before + (block or 0) // self.blocks_per_layer

    def _layers_in(self, depth: int) -> int:
        return math.ceil(depth / self.blocks_per_layer)

    def _frozen_modules(self) -> list[nn.Module]:
        frozen = range(-1, min(self.frozen_stages, self.num_built))
        return [module for stage in frozen for module in self.modules_of(stage)]


def resolve_out_indices(out_indices: Sequence[int], num_stages: int) -> tuple[int, ...]:
    """Return the stages that are given out, counted from 0.

    Raises:
        ValueError: If they are not ascending stages of the network.
    """
    allowed = f"ascending stages from {-num_stages} to {num_stages - 1}"
    if num_stages == 1:
        allowed = "the one stage that there is, (0,)"
    if isinstance(out_indices, str) or not isinstance(out_indices, Sequence) or not out_indices:
        raise ValueError(f"out_indices holds {allowed}, got {out_indices!r}")
    if any(not isinstance(i, int) or not -num_stages <= i < num_stages for i in out_indices):
        raise ValueError(f"out_indices holds {allowed}, got {tuple(out_indices)}")
    resolved = tuple(i % num_stages for i in out_indices)
    if any(a >= b for a, b in pairwise(resolved)):
        raise ValueError(f"out_indices holds {allowed}, each once, got {tuple(out_indices)}")
    return resolved


def check_range(name: str, value: float, holds: bool, allowed: str) -> None:
    """Refuse an argument outside of its range.

    Raises:
        ValueError: If the range does not hold; the message names it.
    """
    if not holds:
        raise ValueError(f"{name} is {allowed}, got {value!r}")


def check_size(x: Tensor, least: int) -> None:
    """Refuse images from which nothing would be left.

    Raises:
        ValueError: If one is smaller than ``least`` in height or width.
    """
    height, width = x.shape[-2:]
    # While a graph is exported with free sizes they are no ints.
    if isinstance(height, int) and isinstance(width, int) and min(height, width) < least:
        raise ValueError(
            f"the images are at least {least} x {least} pixels, or a stage has none; got "
            f"{height} x {width}: make them larger, or set ceil_mode=True, which pads them"
        )
