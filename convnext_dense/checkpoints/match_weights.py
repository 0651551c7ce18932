"""Match published weights with a backbone or a whole model: what loads and what is left out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from convnext_dense.backbone.convnext import ConvNeXt
from convnext_dense.checkpoints.arch_names import describe_arch
from convnext_dense.checkpoints.compare_parameters import (
    MISSING,
    USE_ITS_CONFIG,
    compare_parameters,
    raise_mismatch,
    remedies_for_classes,
)
from convnext_dense.checkpoints.containers import trained_classes
from convnext_dense.checkpoints.find_convnext import FoundConvNeXt, find_convnext
from convnext_dense.checkpoints.report import is_output_norm
from convnext_dense.checkpoints.source import Source
from convnext_dense.checkpoints.target_model import count_classes
from convnext_dense.checkpoints.transformers_head import other_parameters

STAGE = re.compile(r"(?:stages|downsample_layers)\.(\d+)\.")
STEM = "downsample_layers.0.0.weight"


@dataclass(frozen=True)
class LoadOptions:
    """Options of a load; see :func:`~convnext_dense.checkpoints.load_weights`."""

    strict: bool = True
    final_norm: str = "drop"
    adapt_input: bool = False
    reinit_heads: bool = False


@dataclass
class WeightMatch:
    """Which parameters of a checkpoint a model takes.

    Attributes:
        fitting: Parameters that the model takes, by the model's names.
        dropped: Names in the file that are left out, with the reason.
        missing: Names of the model that the file lacks.
        reinitialised: Parameters of heads for another number of classes, which are left out.
    """

    fitting: dict[str, Tensor]
    dropped: dict[str, str]
    missing: list[str] = field(default_factory=list)
    reinitialised: list[str] = field(default_factory=list)

    def is_stopped(self, faults: Mapping[str, list[str]], path: str, options: LoadOptions) -> bool:
        """Whether faults stop the load; if it is not strict, only where the backbone gets nothing.

        Args:
            faults: Names by the fault that they have: see :meth:`.Comparison.faults`.
            path: Prefix of the backbone in the model.
            options: Options of the load.
        """
        is_empty = not any(name.startswith(path) for name in self.fitting)
        return any(faults.values()) and (options.strict or is_empty)

    def leave_out(self, faults: Mapping[str, list[str]]) -> None:
        """Count the names that have a fault as missing or dropped."""
        for fault, names in faults.items():
            if fault == MISSING:
                self.missing += names
            else:
                self.dropped |= dict.fromkeys(names, fault)


def match_weights(
    model: nn.Module, path: str, backbone: ConvNeXt, read: Source, options: LoadOptions
) -> tuple[FoundConvNeXt, WeightMatch]:
    """Compare the ConvNeXt of a checkpoint with the one in a model.

    If both are whole models, their other parts are compared too.

    Args:
        model: A backbone, or a model that contains one.
        path: Prefix of the backbone's parameters in the model.
        backbone: The backbone.
        read: The checkpoint.
        options: Options of the load.

    Raises:
        RuntimeError: If the checkpoint does not hold one ConvNeXt, or something does not match: the
            message describes its network and the parameters that differ.
        ValueError: If an option needs something that the model or the file does not have.
    """
    found = find_convnext(read.state, read.name)
    is_whole = bool(path and found.other_parts)
    own, dropped = dict(found.own), dict(found.unused)
    if options.final_norm == "use":
        _use_final_norm(own, backbone, found)
    channels = backbone.state_dict()[STEM].shape[1]
    remedies = fit_channels(own, STEM, channels, options.adapt_input)
    for name in list(own):
        if reason := _reason_to_drop(name, backbone):
            dropped[found.names.get(name, name)] = reason
            del own[name]
    given = replace(found, own=own).named_below(path)
    if is_whole:
        given |= other_parameters(model, found, path)
    wanted = {
        name: value
        for name, value in model.state_dict().items()
        if is_whole or name.startswith(path)
    }
    result = compare_parameters(given, wanted)
    result.obstacle = found.obstacle
    dropped |= dict.fromkeys(result.averages, "averages that mmdet 2.x keeps as buffers")
    match = WeightMatch(result.fitting, dropped)
    if options.reinit_heads:
        match.reinitialised = result.keep_model_heads()
    if not is_whole:  # new output norms have weight 1 and bias 0, so they may be missing
        match.missing = [name for name in result.missing if is_output_norm(name)]
        result.missing = [name for name in result.missing if name not in match.missing]
    faults = result.faults(found.names_in_file(path))
    if not path:
        faults["beside the backbone"] = list(found.other_parts)
    if match.is_stopped(faults, path, options):
        classes = trained_classes(read.meta)
        remedies += remedies_for_classes(result, classes, count_classes(model), may_reinit=True)
        if is_whole:
            subject = subject_of_whole(read.name, found, backbone, result.concerns(path))
            remedies = remedies or [USE_ITS_CONFIG]
        else:
            subject = _subject_of_backbone(read.name, found, backbone)
        raise_mismatch(subject, faults, remedies)
    match.leave_out(faults)
    return found, match


def describe(found: FoundConvNeXt) -> str:
    """Describe the architecture and the layout of a ConvNeXt in a checkpoint."""
    return f"{describe_arch(found.arch)} in the layout {found.layout.name!r}"


def subject_of_whole(source: str, found: FoundConvNeXt, backbone: ConvNeXt, differs: bool) -> str:
    """Return the beginning of the message that refuses a whole model.

    Args:
        source: Name of the checkpoint.
        found: The ConvNeXt in the checkpoint.
        backbone: The ConvNeXt in the model.
        differs: Whether the two backbones differ, and not only the other parts.
    """
    if not differs:
        return f"{source} does not fit this model"
    held, ours = describe(found), describe_arch(backbone.arch)
    return f"{source} holds {held} and does not fit this model, whose backbone is {ours}"


def _subject_of_backbone(source: str, found: FoundConvNeXt, backbone: ConvNeXt) -> str:
    held, ours = describe(found), describe_arch(backbone.arch)
    if found.other_parts:
        held = f"a whole model, whose backbone loads with `prefix={found.prefix!r}`: {held}"
    return f"{source} holds {held} and does not fit the backbone, which is {ours}"


def _use_final_norm(own: dict[str, Tensor], backbone: ConvNeXt, found: FoundConvNeXt) -> None:
    last = len(backbone.arch.depths) - 1
    if not backbone.norm_out or last not in backbone.out_indices:
        raise ValueError(f"final_norm='use' needs an output norm{last}, but the model has none")
    if "norm.weight" not in own or f"norm{last}.weight" in own:
        raise ValueError(
            f"final_norm='use' needs a file with a classifier's norm and without norm{last}, but "
            f"this file has the layout {found.layout.name!r} and other norms"
        )
    for parameter in ("weight", "bias"):
        own[f"norm{last}.{parameter}"] = own.pop(f"norm.{parameter}")


def fit_channels(own: dict[str, Tensor], name: str, channels: int, adapt: bool) -> list[str]:
    """Fit a stem to a model's input channels if asked to; otherwise return the remedy.

    The channels are summed or repeated as timm's ``adapt_input_conv`` does.

    Args:
        own: The parameters of a checkpoint, in which the stem is replaced.
        name: Name of the stem's weight in it.
        channels: Input channels of the model.
        adapt: Whether it may be replaced.
    """
    stem = own.get(name)
    if stem is None or stem.ndim != 4 or (given := stem.shape[1]) == channels:
        return []
    if not adapt:
        return ["adapt_input=True fits the stem to another number of input channels"]
    if channels == 1:
        own[name] = stem.float().sum(dim=1, keepdim=True)
    else:
        repeats = -(-channels // given)
        own[name] = stem.float().repeat(1, repeats, 1, 1)[:, :channels] * (given / channels)
    return []


def _reason_to_drop(name: str, backbone: ConvNeXt) -> str | None:
    """Return why the backbone has no place for a known parameter, or None."""
    if name.startswith(("norm.", "head.")):
        return "classifier"
    if is_output_norm(name):
        stage = int(name.removeprefix("norm").partition(".")[0])
        if not (backbone.norm_out and stage in backbone.out_indices):
            return "no such output norm in the model"
    place = STAGE.match(name)
    if place and len(backbone.stages) <= int(place[1]) < len(backbone.arch.depths):
        return "stages beyond the model's last output"
    return None
