"""Find a network between ResNet and ConvNeXt in a checkpoint, and name its step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor

from convnext_dense.backbone.resnet_to_convnext import ResNetToConvNeXt
from convnext_dense.backbone.roadmap import PREFIX, REGIMES, STEPS, network_name
from convnext_dense.checkpoints.containers import RECORD

# Every network of ResNet's names has it.
SIGNATURE = "layer1.0.conv1.weight"
# The names of a classifier, in torchvision's and timm's files, and in mmpretrain's.
CLASSIFIERS = ("fc.", "head.")


def step_prefixes(state: Mapping[str, Tensor]) -> list[str]:
    """Return what stands before the names of each network of ResNet's names."""
    return [name.removesuffix(SIGNATURE) for name in state if f".{name}".endswith(f".{SIGNATURE}")]


def name_steps(state: Mapping[str, Tensor], meta: Mapping[str, Any]) -> str | None:
    """Name the step of the network of ResNet's names in a checkpoint, for messages.

    Args:
        state: All parameters of the checkpoint.
        meta: What a run recorded beside them.

    Returns:
        The step, or the steps with such parameters; the depths where there is no such step; None
        where there is no such network.

    Example:
        >>> net = ResNetToConvNeXt("stage_ratio", out_indices=(1,))
        >>> name_steps(net.state_dict(), {})
        'roadmap:stage_ratio'
    """
    prefixes = step_prefixes(state)
    if not prefixes:
        return None
    if recorded := recorded_step(meta):
        return recorded
    own = {n.removeprefix(prefixes[0]): v for n, v in state.items() if n.startswith(prefixes[0])}
    depths = [
        len({name.split(".")[1] for name in own if name.startswith(f"layer{stage}.")})
        for stage in range(1, 5)
    ]
    if alike := _steps_alike(own, [depth for depth in depths if depth]):
        return " or ".join(alike)
    return f"a network of ResNet's names with {', '.join(map(str, depths))} blocks in its stages"


def recorded_step(meta: Mapping[str, Any]) -> str | None:
    """Return the name of the step that a run recorded in a checkpoint, or None."""
    record = meta.get(RECORD)
    name = record.get("arch") if isinstance(record, Mapping) else None
    return name if isinstance(name, str) and name.startswith(PREFIX) else None


def _steps_alike(own: Mapping[str, Tensor], depths: Sequence[int]) -> list[str]:
    """Return the networks that have these parameters in these shapes, beside a classifier's."""
    given = {n: tuple(v.shape) for n, v in own.items() if not n.startswith(CLASSIFIERS)}
    alike = []
    for regime, step in product(REGIMES, STEPS.values()):
        if step.is_convnext or list(step.depths[regime][: len(depths)]) != depths:
            continue
        with torch.device("meta"):
            wanted = ResNetToConvNeXt(step.name, regime, out_indices=(len(depths) - 1,))
        shapes = {name: tuple(value.shape) for name, value in wanted.state_dict().items()}
        if given.items() <= shapes.items():
            alike.append(network_name(step.name, regime))
    return alike
