"""Load published weights of any layout, and report what was loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from mmengine.logging import print_log
from torch import Tensor, nn

from convnext_dense.backbone.resnet_to_convnext import ResNetToConvNeXt
from convnext_dense.checkpoints.find_convnext import FoundConvNeXt
from convnext_dense.checkpoints.match_step import FoundStep, match_step
from convnext_dense.checkpoints.match_weights import LoadOptions, WeightMatch, match_weights
from convnext_dense.checkpoints.origin import licence_of, normalisation_of
from convnext_dense.checkpoints.report import LoadReport
from convnext_dense.checkpoints.source import Source, read_source
from convnext_dense.checkpoints.target_model import find_backbone, unwrap_model
from convnext_dense.checkpoints.unusable_values import refuse_unusable

FINAL_NORM = ("drop", "use")
WEIGHTS_REMEDY = (
    "give a local copy as `weights=PATH` (config key model.backbone.init_cfg.checkpoint), or train "
    "from scratch with `weights=None`"
)


def load_weights(
    model: nn.Module,
    source: str | os.PathLike | Mapping[str, Tensor],
    prefix: str | None = None,
    *,
    strict: bool = True,
    trust: bool = False,
    ema: bool = False,
    final_norm: str = "drop",
    adapt_input: bool = False,
    reinit_heads: bool = False,
) -> LoadReport:
    """Load published weights into a backbone, or into a whole model that holds one.

    The layout is recognised by the names; ``docs/weights.md`` lists the known ones. Everything is
    compared before anything is loaded, so an error leaves the model unchanged.

    Args:
        model: A :class:`~convnext_dense.ConvNeXt`, or a detector or segmenter that holds one. A
            checkpoint of a whole model loads into a whole model, with its heads; a checkpoint of a
            backbone loads into both. A network between ResNet and ConvNeXt takes the weights of its
            own step.
        source: Path, URL, hub id (``timm/convnext_tiny.fb_in1k``) or state dict.
        prefix: Load only names with this prefix, such as ``backbone`` of a whole model.
        strict: Whether a parameter that does not match stops the load. False loads those that
            match, and the report names the others.
        trust: Whether to unpickle a file that holds more than parameters and plain data. Such a
            file can run any code.
        ema: Whether to take the moving averages of a checkpoint that holds both (``model_ema``,
            ``state_dict_ema``). From a run of mmengine with EMAHook they are always taken, since
            its ``state_dict`` holds them.
        final_norm: What to do with the classifier's norm, which normalised the pooled features:
            ``drop`` it, or ``use`` it as the last output norm.
        adapt_input: Whether to convert a stem for another number of input channels: its channels
            are summed for one channel, repeated and scaled for more.
        reinit_heads: Whether heads for another number of classes keep their random values.

    Returns:
        Report of what was loaded, dropped and missing, which is also logged.

    Raises:
        OSError: If the source could not be loaded.
        ImportError: If the source needs a library that is not installed.
        RuntimeError: If the source is damaged or refused, holds numbers that are not finite or not
            real, or does not match: the message names the parameters, or the architectures of the
            file and of the model.
        ValueError: If an argument asks for something that this model does not have.
    """
    if final_norm not in FINAL_NORM:
        raise ValueError(f"final_norm is one of {', '.join(FINAL_NORM)}, got {final_norm!r}")
    options = LoadOptions(strict, final_norm, adapt_input, reinit_heads)
    model = unwrap_model(model)
    path, backbone = find_backbone(model)  # before the source is downloaded
    read = read_source(source, prefix=prefix, trust=trust, ema=ema, remedy=WEIGHTS_REMEDY)
    found: FoundConvNeXt | FoundStep
    if isinstance(backbone, ResNetToConvNeXt):
        found, match = match_step(model, path, backbone, read, options)
    else:
        found, match = match_weights(model, path, backbone, read, options)
    refuse_unusable(match.fitting, read.name, model.state_dict())
    model.load_state_dict(match.fitting, strict=False)
    report = _report(read, found, match, path)
    print_log(f"weights loaded\n{report}", logger="current")
    return report


class PublishedWeights:
    """Initializer of mmengine's kind that loads weights into a whole backbone.

    Args:
        checkpoint: Path, URL or hub id.
        options: Arguments of :func:`load_weights`.
    """

    def __init__(self, checkpoint: str | os.PathLike, **options: Any) -> None:
        self.checkpoint = checkpoint
        self.options = options

    def __call__(self, module: nn.Module) -> None:
        """Load the weights into a backbone.

        Raises:
            RuntimeError: If the file's parameters do not match the backbone.
        """
        load_weights(module, self.checkpoint, **self.options)


def _report(
    read: Source, found: FoundConvNeXt | FoundStep, match: WeightMatch, path: str
) -> LoadReport:
    mean, std = normalisation_of(read.name, (read.prefix or "", *read.state))
    layout, is_v2, notes = "resnet", False, []
    converted: list[str] = []
    if isinstance(found, FoundConvNeXt):
        layout, is_v2, notes = found.layout.name, found.arch.grn, _notes(found, match)
        own = [name for name in match.fitting if name.startswith(path)]
        converted = [name for name in own if _is_converted(name.removeprefix(path), found)]
    if path and not found.other_parts:
        notes.append("only a backbone was loaded: the other parts of the model are unchanged")
    return LoadReport(
        source=read.name,
        layout=layout,
        key=read.key,
        left=read.left,
        prefix=found.prefix,
        arch=found.arch,
        loaded=tuple(match.fitting),
        converted=tuple(converted),
        dropped=match.dropped,
        missing=tuple(match.missing),
        reinitialised=tuple(match.reinitialised),
        checksum=read.checksum,
        licence=licence_of(read.name, is_v2),
        mean=mean,
        std=std,
        notes=tuple(notes),
    )


def _notes(found: FoundConvNeXt, match: WeightMatch) -> list[str]:
    notes = []
    if found.obstacle:
        notes.append(found.obstacle)
    if gammas := [v for n, v in match.fitting.items() if n.endswith(".grn.gamma")]:
        size = sum(value.float().abs().mean().item() for value in gammas) / len(gammas)
        notes.append(f"mean size of GRN's gamma: {size:.3g} (0 would be untrained)")
    if "norm.weight" in found.names and found.names["norm.weight"] not in match.dropped:
        eps = found.layout.final_norm_eps
        notes.append(
            "the classifier's norm is used for the last output; it was trained on pooled features, "
            f"with eps {eps:g}"
        )
    return notes


def _is_converted(name: str, found: FoundConvNeXt) -> bool:
    return name in found.reshaped or found.prefix + name != found.names.get(name)
