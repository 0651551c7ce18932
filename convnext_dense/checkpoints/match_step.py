"""Match weights with a network between ResNet and ConvNeXt: those of the same step fit alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from convnext_dense.backbone.archs import ARCHS
from convnext_dense.backbone.resnet_to_convnext import ResNetToConvNeXt
from convnext_dense.backbone.roadmap import LAST, REGIMES, network_name
from convnext_dense.checkpoints.compare_parameters import compare_parameters, raise_mismatch
from convnext_dense.checkpoints.find_convnext import find_convnext
from convnext_dense.checkpoints.find_step import (
    CLASSIFIERS,
    name_steps,
    recorded_step,
    step_prefixes,
)
from convnext_dense.checkpoints.match_weights import (
    LoadOptions,
    WeightMatch,
    describe,
    fit_channels,
)
from convnext_dense.checkpoints.source import Source

STEM = "conv1.weight"
STAGE = re.compile(r"layer(\d+)\.")


@dataclass(frozen=True)
class FoundStep:
    """A network of ResNet's names in a checkpoint.

    Attributes:
        arch: The name of the step that it is loaded as.
        prefix: Beginning of its names in the checkpoint.
        own: Its parameters by the names of the backbone.
        other_parts: Parameters of other parts of a whole model, by their names in the checkpoint.
        unused: Names in the checkpoint that are left out, with the reason.
    """

    arch: str
    prefix: str
    own: dict[str, Tensor] = field(default_factory=dict)
    other_parts: dict[str, Tensor] = field(default_factory=dict)
    unused: dict[str, str] = field(default_factory=dict)

    def parameters(self, path: str) -> dict[str, Tensor]:
        """Return all parameters by the names of a model, without the wrappers of a whole one.

        Args:
            path: Prefix of the backbone in the model, such as ``backbone.``.
        """
        outer = self.prefix.removesuffix(path)
        own = {path + name: value for name, value in self.own.items()}
        return own | {name.removeprefix(outer): v for name, v in self.other_parts.items()}


def match_step(
    model: nn.Module, path: str, backbone: ResNetToConvNeXt, read: Source, options: LoadOptions
) -> tuple[FoundStep, WeightMatch]:
    """Compare a checkpoint with a network, or with a model that holds it.

    Args:
        model: The network, or the model.
        path: Prefix of the network's parameters in the model.
        backbone: The network.
        read: The checkpoint.
        options: Options of the load.

    Raises:
        RuntimeError: If the checkpoint holds no such network, more than one, or that of another
            step, which the message names.
        ValueError: If an option needs something that the network does not have.
    """
    if options.final_norm == "use":
        raise ValueError("final_norm='use' needs an output norm, and this step has none")
    found = _find(read, backbone)
    channels = backbone.conv1.weight.shape[1]
    remedies = fit_channels(found.own, STEM, channels, options.adapt_input)
    is_whole = bool(path and found.other_parts)
    given = found.parameters(path)
    wanted = model.state_dict()
    if not is_whole:
        given = {name: value for name, value in given.items() if name.startswith(path)}
        wanted = {name: value for name, value in wanted.items() if name.startswith(path)}
    result = compare_parameters(given, wanted)
    match = WeightMatch(result.fitting, found.unused)
    if options.reinit_heads:
        match.reinitialised = result.keep_model_heads()
    faults = result.faults()
    if not path:
        faults["beside the backbone"] = list(found.other_parts)
    if recorded_step(read.meta) not in (None, found.arch):
        faults["of another step"] = ["all, by what its run recorded"]
    if match.is_stopped(faults, path, options):
        raise_mismatch(_subject(read, found.arch), faults, remedies)
    match.leave_out(faults)
    return found, match


def describe_network(state: Mapping[str, Tensor], meta: Mapping[str, Any]) -> str:
    """Say which step a checkpoint's network is, or which ConvNeXt."""
    if steps := name_steps(state, meta):
        return steps
    try:
        found = find_convnext(state, "")
    except RuntimeError:
        return "no network between ResNet and ConvNeXt"
    last = [network_name(LAST, regime) for regime in REGIMES if ARCHS[regime] == found.arch]
    return ", ".join([describe(found), *last])


def _find(read: Source, backbone: ResNetToConvNeXt) -> FoundStep:
    arch = network_name(backbone.step, backbone.regime)
    prefixes = step_prefixes(read.state)
    if len(prefixes) > 1:
        raise RuntimeError(
            f"{read.name} holds {len(prefixes)} networks of ResNet's names: choose one with "
            f"prefix=, one of {', '.join(map(repr, prefixes))}"
        )
    if not prefixes:
        raise RuntimeError(_subject(read, arch))
    found = FoundStep(arch, prefixes[0])
    for name, value in read.state.items():
        is_own = name.startswith(found.prefix)
        inner = name.removeprefix(found.prefix) if is_own else name
        stage = STAGE.match(inner) if is_own else None
        if inner.startswith(CLASSIFIERS):
            found.unused[name] = "classifier"
        elif stage and backbone.num_built < int(stage[1]) <= len(backbone.depths):
            found.unused[name] = "stages beyond the model's last output"
        else:
            (found.own if is_own else found.other_parts)[inner] = value
    return found


def _subject(read: Source, ours: str) -> str:
    held = describe_network(read.state, read.meta)
    return f"{read.name} holds {held} and does not fit the backbone, which is {ours}"
