"""The backbone that a swap puts in: a ConvNeXt, or a network on the road to it from ResNet."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from convnext_dense.backbone import ConvNeXt, ResNetToConvNeXt
from convnext_dense.backbone.archs import Arch, resolve_arch
from convnext_dense.backbone.roadmap import LAST, PREFIX, REGIMES, STEPS, find_network

# Arguments that the swap sets itself, and those that say which network it is.
DECIDED = ("type", "out_indices", "output_stride", "norm_out")
WHICH = ("arch", "step", "regime")


@dataclass(frozen=True)
class NewBackbone:
    """A backbone to put into a config.

    Attributes:
        cfg: What a config says of it: its type, and which network it is.
        channels: Channels of each stage.
        depths: Blocks in each stage.
        arch: Its architecture if it is a ConvNeXt.
    """

    cfg: dict[str, Any]
    channels: tuple[int, ...]
    depths: tuple[int, ...]
    arch: Arch | None = None

    @property
    def is_isotropic(self) -> bool:
        """Whether it has one stage alone."""
        return self.arch is not None and self.arch.isotropic

    @property
    def has_batch_norm(self) -> bool:
        """Whether its norms have statistics."""
        return "step" in self.cfg and STEPS[self.cfg["step"]].norm == "batch"

    def check(self, arguments: Mapping) -> None:
        """Refuse further arguments that it cannot be built with.

        Raises:
            ValueError: If there is no such argument, or its value is wrong.
        """
        decided = [key for key in arguments if key in DECIDED]
        if decided:
            raise ValueError(f"{', '.join(decided)}: the swap sets this by the old backbone")
        kind = ConvNeXt if self.arch else ResNetToConvNeXt
        known = [*inspect.signature(kind.__init__).parameters][1:]
        known = [key for key in known if key not in (*WHICH, *DECIDED)]
        for key in arguments:
            if key not in known:
                raise ValueError(
                    f"an argument of the backbone is one of {', '.join(known)}, got {key!r}"
                )
        named = {key: value for key, value in self.cfg.items() if key != "type"}
        with torch.device("meta"):
            kind(**named, out_indices=(-1,), **arguments)


def find_new_backbone(arch: str | Mapping | Arch) -> NewBackbone:
    """Look a backbone up by its name.

    Args:
        arch: As for :class:`~convnext_dense.ConvNeXt`, or ``roadmap:STEP`` or
            ``roadmap:STEP:REGIME``. The last step is the ConvNeXt of that name.

    Raises:
        ValueError: If there is no such architecture, step or regime.

    Example:
        >>> find_new_backbone("roadmap:gelu").cfg
        {'type': 'ResNetToConvNeXt', 'step': 'gelu'}
        >>> find_new_backbone("roadmap:separate_downsampling:base").cfg
        {'type': 'ConvNeXt', 'arch': 'base'}
    """
    if isinstance(arch, str) and arch.startswith(PREFIX):
        step, regime = find_network(arch)
        if step != LAST:
            cfg = dict(type="ResNetToConvNeXt", step=step)
            if regime != REGIMES[0]:
                cfg["regime"] = regime
            own = STEPS[step]
            return NewBackbone(cfg, own.channels(regime), own.depths[regime])
        arch = regime
    resolved = resolve_arch(arch)
    return NewBackbone(
        dict(type="ConvNeXt", arch=arch), resolved.channels, resolved.depths, resolved
    )
