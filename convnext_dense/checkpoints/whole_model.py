"""Match the checkpoint of a whole model with a model, to train, resume, test or predict."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping

from mmengine.logging import print_log
from torch import Tensor, nn

from convnext_dense.backbone.resnet_to_convnext import ResNetToConvNeXt
from convnext_dense.backbone.roadmap import network_name
from convnext_dense.checkpoints.compare_parameters import (
    USE_ITS_CONFIG,
    Comparison,
    compare_parameters,
    raise_mismatch,
    remedies_for_classes,
)
from convnext_dense.checkpoints.containers import (
    EMA_HOOK_KEY,
    find_parameters,
    is_state,
    meta_of,
    trained_classes,
    without_wrappers,
)
from convnext_dense.checkpoints.find_convnext import FoundConvNeXt, find_convnext
from convnext_dense.checkpoints.match_step import describe_network
from convnext_dense.checkpoints.match_weights import describe, subject_of_whole
from convnext_dense.checkpoints.target_model import count_classes, find_backbones, unwrap_model
from convnext_dense.checkpoints.transformers_head import other_parameters
from convnext_dense.checkpoints.unusable_values import refuse_unusable

# Prefix of the names of a wrapped model, which mmengine removes when it loads a file.
PREFIX = "module."


def parameters_for_model(
    model: nn.Module,
    checkpoint: object,
    source: str,
    *,
    resume: bool = False,
    reinit_heads: bool | None = None,
) -> OrderedDict[str, Tensor]:
    """Return all parameters of a whole model from a checkpoint, or refuse the checkpoint.

    A backbone in another layout, such as Meta's in its fine-tuned models or mmpretrain's, is
    renamed first.

    Args:
        model: A detector or segmenter, with or without wrappers.
        checkpoint: Content of a file: parameters or containers of them. If mmengine's EMAHook took
            averages, these are the parameters.
        source: Name of the file in messages.
        resume: Whether the run that wrote the file is resumed. Then no parameter is renamed, since
            the optimizer identifies parameters by their order.
        reinit_heads: Whether heads for another number of classes keep the model's values; None if
            the model will not be trained, so that they must match.

    Returns:
        The parameters by the model's names.

    Raises:
        RuntimeError: If the checkpoint is refused. The message names the file and the parameters
            that are missing, unknown, of another shape, not finite or not real; for classification
            weights or other classes it says which option helps.
    """
    model = unwrap_model(model)
    wanted = model.state_dict()
    state = _state_of(checkpoint, source)
    result = compare_parameters(_without_prefix(state), wanted)
    subject = None
    if not result.fits() and not resume:
        result, subject = _compare_renamed(state, model, source)
        if reinit_heads and (heads := result.keep_model_heads()):
            message = f"{source}: heads of other classes keep their random values: "
            print_log(message + ", ".join(heads), logger="current", level=logging.WARNING)
    if not result.fits():
        given = [*result.fitting, *result.unknown, *result.reshaped]
        if hasattr(model, "backbone") and not any(n.startswith("backbone.") for n in given):
            raise RuntimeError(
                f"{source} does not hold a whole model: none of its parameters begins with "
                f"'backbone.'. To start training from these backbone weights, give "
                f"`weights={source!r}`"
            )
        classes = trained_classes(meta_of(checkpoint))
        may_train = reinit_heads is not None
        remedies = remedies_for_classes(result, classes, count_classes(model), may_train)
        subject = _subject_of_step(model, state, meta_of(checkpoint), source) or subject
        subject = subject or f"{source} does not fit this model"
        raise_mismatch(subject, result.faults(), remedies or [USE_ITS_CONFIG])
    refuse_unusable(result.fitting, source, wanted)
    _check_averages(checkpoint, source, wanted, resume)
    fitting = OrderedDict(result.fitting)
    # Versions of modules, which torch needs to load files of older versions.
    fitting._metadata = getattr(state, "_metadata", None)  # type: ignore[attr-defined]
    return fitting


def _state_of(checkpoint: object, source: str) -> Mapping[str, Tensor]:
    if not isinstance(checkpoint, Mapping):
        raise RuntimeError(f"{source} is not a state dict but a {type(checkpoint).__name__}")
    state = checkpoint.get("state_dict")
    if is_state(state):  # a checkpoint of mmengine
        return state
    return checkpoint if is_state(checkpoint) else find_parameters(checkpoint, source).state


def _without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(PREFIX): value for name, value in state.items()}


def _compare_renamed(
    state: Mapping[str, Tensor], model: nn.Module, source: str
) -> tuple[Comparison, str | None]:
    """Compare a checkpoint in another layout, or with wrappers inside its names.

    Returns:
        The comparison, and the beginning of a message that names two backbones, or None.
    """
    wanted = model.state_dict()
    state = {n if n in wanted else without_wrappers(n): value for n, value in state.items()}
    backbones = find_backbones(model)
    found = _find_in_whole(state, source) if len(backbones) == 1 else None
    if found is None:
        return compare_parameters(_without_prefix(state), wanted), None
    said = f"{source}: {describe(found)}, {len(found.own)} backbone parameters"
    print_log(said, logger="current")
    path, backbone = next(iter(backbones.items()))
    others = other_parameters(model, found, path)
    result = compare_parameters(found.named_below(path) | others, wanted)
    result.obstacle = found.obstacle
    return result, subject_of_whole(source, found, backbone, result.concerns(path))


def _find_in_whole(state: Mapping[str, Tensor], source: str) -> FoundConvNeXt | None:
    try:
        found = find_convnext(state, source)
    except RuntimeError:  # the comparison reports what the file lacks
        return None
    return found if found.other_parts else None


def _subject_of_step(
    model: nn.Module, state: Mapping[str, Tensor], meta: Mapping, source: str
) -> str | None:
    """Return the beginning of a message that names two steps from ResNet, or None if it is one."""
    backbone = getattr(model, "backbone", None)
    if not isinstance(backbone, ResNetToConvNeXt):
        return None
    held, ours = describe_network(state, meta), network_name(backbone.step, backbone.regime)
    if ours in held.split(" or "):
        return None
    return f"{source} holds {held} and does not fit this model, whose backbone is {ours}"


def _check_averages(
    checkpoint: object, source: str, wanted: Mapping[str, Tensor], resume: bool
) -> None:
    """Check the parameters that mmengine's EMAHook resumes from, which have the model's names."""
    averages = checkpoint.get(EMA_HOOK_KEY) if isinstance(checkpoint, Mapping) else None
    if averages is None:
        return
    if not is_state(averages):
        raise RuntimeError(
            f"{source} is damaged: {EMA_HOOK_KEY} holds no parameters; get the file again"
        )
    averages = _without_prefix(averages)
    refuse_unusable(averages, source, wanted)
    result = compare_parameters(averages, wanted)
    result.unknown = []  # the hook's own counter
    if resume and not result.fits():
        raise_mismatch(f"{source}: {EMA_HOOK_KEY} does not fit this model", result.faults(), [])
