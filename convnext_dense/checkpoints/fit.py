"""Compare a ConvNeXt of a checkpoint with a model: what fits, what is left out, what is wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from convnext_dense.backbone.convnext import ConvNeXt
from convnext_dense.checkpoints.find import Found
from convnext_dense.checkpoints.naming import describe_arch
from convnext_dense.checkpoints.report import is_output_norm, listed

STAGE = re.compile(r"(?:stages|downsample_layers)\.(\d+)\.")
STEM = "downsample_layers.0.0.weight"
REINIT = "reinit_heads=True leaves heads of another number of classes at their random values"


@dataclass
class Fit:
    """What of a checkpoint goes where.

    Attributes:
        backbone: Parameters for the backbone, by its names.
        others: Parameters for the other parts of a whole model.
        dropped: Names in the file that are left out on purpose: the reason.
        missing: Output norms that the file lacks.
        faults: What is wrong: the names that it concerns.
        reinitialised: Parameters of heads of another number of classes, which are left out.
        hints: What the user could ask for instead.
    """

    backbone: dict[str, Tensor]
    others: dict[str, Tensor] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    faults: dict[str, list[str]] = field(default_factory=dict)
    reinitialised: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)


def fit_backbone(
    backbone: ConvNeXt, path: str, found: Found, final_norm: str, adapt_input: bool
) -> Fit:
    """Compare the backbone's parameters, which stand below ``path`` in the model."""
    own = dict(found.own)
    if final_norm == "use":
        _use_final_norm(own, backbone, found)
    wanted = backbone.state_dict()
    fit = Fit({}, dropped=dict(found.unused))
    channels = backbone.downsample_layers[0][0].in_channels
    if STEM in own and own[STEM].ndim == 4 and own[STEM].shape[1] != channels:
        if adapt_input:
            own[STEM] = _adapt_channels(own[STEM], channels)
        else:
            fit.hints.append("adapt_input=True fits the stem to another number of input channels")
    unknown, reshaped = list(found.unknown), []
    for name, value in own.items():
        if reason := _reason_to_drop(name, backbone):
            fit.dropped[found.names.get(name, name)] = reason
        elif name not in wanted:
            unknown.append(found.names[name])
        elif value.shape != wanted[name].shape:
            reshaped.append(f"{path}{name} {_shapes(value, wanted[name])}")
        else:
            fit.backbone[name] = value
    absent = [path + name for name in wanted if name not in own]
    fit.missing = [name for name in absent if is_output_norm(name)]
    fit.faults = {
        "missing": [name for name in absent if name not in fit.missing],
        "not in the model": unknown,
        "of another shape": reshaped,
        "unlike ours": [found.obstacle] if found.obstacle else [],
    }
    return fit


def _shapes(given: Tensor, wanted: Tensor) -> str:
    return f"{tuple(given.shape)} for {tuple(wanted.shape)}"


def _use_final_norm(own: dict[str, Tensor], backbone: ConvNeXt, found: Found) -> None:
    last = len(backbone.arch.depths) - 1
    if not backbone.norm_out or last not in backbone.out_indices:
        raise ValueError(f"final_norm='use' needs an output norm{last}, which the model has not")
    if "norm.weight" not in own or f"norm{last}.weight" in own:
        raise ValueError(
            f"final_norm='use' needs a classifier's norm in the file and no norm{last}; this file "
            f"of layout {found.layout.name!r} is of another kind"
        )
    for parameter in ("weight", "bias"):
        own[f"norm{last}.{parameter}"] = own.pop(f"norm.{parameter}")


def _adapt_channels(stem: Tensor, channels: int) -> Tensor:
    """As timm's ``adapt_input_conv`` does, for images whose channels are alike."""
    given = stem.shape[1]
    if channels == 1:
        return stem.float().sum(dim=1, keepdim=True)
    repeats = -(-channels // given)
    return stem.float().repeat(1, repeats, 1, 1)[:, :channels] * (given / channels)


def _reason_to_drop(name: str, backbone: ConvNeXt) -> str | None:
    """Tell what the backbone leaves out on purpose from what does not fit it."""
    if name.startswith(("norm.", "head.")):
        return "classifier"
    if is_output_norm(name):
        stage = int(name.removeprefix("norm").partition(".")[0])
        if not (backbone.norm_out and stage in backbone.out_indices):
            return "no such output norm in the model"
    stage = STAGE.match(name)
    if stage and len(backbone.stages) <= int(stage[1]) < len(backbone.arch.depths):
        return "stages beyond the model's last output"
    return None


def fit_others(fit: Fit, model: nn.Module, found: Found, path: str, reinit: bool) -> None:
    """Compare the neck and the heads; a whole model has its output norms too."""
    wanted = {n: v for n, v in model.state_dict().items() if not n.startswith(path)}
    faults = fit.faults
    faults["missing"] += fit.missing
    fit.missing = []
    others = found.others(path)
    for name, value in others.items():
        if name not in wanted:
            if name.startswith("ema_"):
                fit.dropped[name] = "averages that mmdet 2.x keeps as buffers"
            else:
                faults["not in the model"].append(name)
            continue
        shape = wanted[name].shape
        of_classes = is_of_classes(name, value.shape, shape)
        if value.shape == shape:
            fit.others[name] = value
        elif of_classes and reinit:
            fit.reinitialised.append(name)
        else:
            faults["of another shape"].append(f"{name} {_shapes(value, wanted[name])}")
            if of_classes and REINIT not in fit.hints:
                fit.hints.append(REINIT)
    faults["missing"] += [
        name for name in wanted if name not in others and not name.endswith("num_batches_tracked")
    ]


def is_of_classes(name: str, given: Sequence[int], wanted: Sequence[int]) -> bool:
    """Tell a head's parameter that differs in nothing but the number of outputs, as of classes."""
    in_head = any(part.endswith("head") for part in name.split("."))
    return in_head and given != wanted and tuple(given[1:]) == tuple(wanted[1:])


def refuse_faults(fit: Fit, source: str, found: Found, backbone: ConvNeXt) -> None:
    """Raise a RuntimeError that says what the file holds and what of it does not fit."""
    if not any(fit.faults.values()):
        return
    held = f"{describe_arch(found.arch)} in the layout {found.layout.name!r}"
    if "beside the backbone" in fit.faults:
        held = f"a whole model, whose backbone loads with prefix={found.prefix!r}: {held}"
    complaints = "; ".join(
        f"{len(names)} {fault} ({listed(names, 3)})" for fault, names in fit.faults.items() if names
    )
    raise RuntimeError(
        f"{source} holds {held} and does not fit the backbone, which is "
        f"{describe_arch(backbone.arch)}: {complaints}{''.join(f'. {hint}' for hint in fit.hints)}"
    )
