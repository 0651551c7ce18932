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
    adapt_channels,
    describe,
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
    remedies = _fit_channels(found.own, backbone, options.adapt_input)
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
    is_empty = not any(name.startswith(path) for name in match.fitting)
    if any(faults.values()) and (options.strict or is_empty):
        raise_mismatch(_subject(read, found.arch), faults, remedies)
    match.missing += faults.pop("missing")
    for fault, names in faults.items():
        match.dropped |= dict.fromkeys(names, fault)
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


def _fit_channels(own: dict[str, Tensor], backbone: ResNetToConvNeXt, adapt: bool) -> list[str]:
    """Adapt the stem to the model's input channels if asked to; otherwise return a remedy."""
    stem, channels = own.get(STEM), backbone.conv1.weight.shape[1]
    if stem is None or stem.ndim != 4 or stem.shape[1] == channels:
        return []
    if not adapt:
        return ["adapt_input=True fits the stem to another number of input channels"]
    own[STEM] = adapt_channels(stem, channels)
    return []
