"""Hooks that refuse a checkpoint which is not this model's or not this run's."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from mmengine.hooks import EMAHook, Hook
from mmengine.logging import print_log
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from convnext_dense.backbone import ARCHS, ConvNeXt
from convnext_dense.checkpoints.containers import find_parameters, is_state, without_wrappers
from convnext_dense.checkpoints.find import find_convnext
from convnext_dense.checkpoints.fit import is_of_classes
from convnext_dense.checkpoints.latest import latest_checkpoint
from convnext_dense.checkpoints.naming import describe_arch
from convnext_dense.checkpoints.values import refuse_unusable
from convnext_dense.data.rules.categories import classes_argument
from convnext_dense.training.run_state import require_state_of_run

# Where the record stands in a checkpoint's `meta`.
RECORD = "convnext_dense"
SHOWN = 4
# mmdet 2.x kept moving averages as buffers of the model.
OLD_AVERAGES = "ema_"


class StrictLoadHook(Hook):
    """Refuse a checkpoint whose parameter names or shapes are not the model's.

    mmengine loads what fits and logs the rest as a warning, so that a run could train or test on
    random weights. Works for test, ``load_from`` and resume; in ``checkpoint['state_dict']``, which
    with EMA holds the averaged weights.

    A whole model whose backbone has another layout, such as Meta's fine-tuned models or those with
    mmpretrain's ConvNeXt, is converted first. Under the config key ``reinit_heads=True`` heads of
    another number of classes keep their random values when training starts from a checkpoint.

    Raises:
        RuntimeError: Naming the file, and the parameters that are missing, unexpected, of another
            shape, not finite or not real; or, for a file of classification weights or of other
            classes, the flag to use.

    A test under as many classes of other names goes on, with a warning.
    """

    # Before mmengine's EMAHook, which uses the state dict.
    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self._trained_classes: tuple[str, ...] = ()

    def before_test(self, runner: Runner) -> None:
        """Warn where the classes of a test have other names or another order than in training."""
        differences = _class_differences(self._trained_classes, runner.test_dataloader)
        if differences:
            print_log(
                f"{_checkpoint_path(runner)} was trained with {differences}; the figures stand "
                "under the names of this test",
                logger="current",
                level=logging.WARNING,
            )

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare a checkpoint with the model before mmengine loads it."""
        path = _checkpoint_path(runner)
        model = _unwrap(runner.model)
        state = _state_dict(checkpoint, path)
        self._trained_classes = _classes(checkpoint)
        values = model.state_dict()
        own = _shapes(values)
        if _shapes(state) != own and not runner._resume:  # what is resumed is a run of this model
            state = _convert(state, model, path)
            if getattr(runner, "cfg", {}).get("reinit_heads"):
                own = _reinit_heads(state, own, path)
        if state is not checkpoint:  # where mmengine looks for it
            checkpoint["state_dict"] = state
        given = _shapes(state)
        missing = [n for n in own if n not in given and not n.endswith("num_batches_tracked")]
        unexpected = [name for name in given if name not in own]
        reshaped = [name for name in own if name in given and given[name] != own[name]]
        if not (missing or unexpected or reshaped):
            for averaged in (state, checkpoint.get("ema_state_dict") or {}):
                plain = {name.removeprefix("module."): value for name, value in averaged.items()}
                refuse_unusable(plain, path, values)
            return
        if not any(name.startswith("backbone.") for name in given) and hasattr(model, "backbone"):
            raise RuntimeError(
                f"{path} holds no whole model: none of its parameters begins with 'backbone.'. "
                f"To start training from these backbone weights pass them as --weights {path}"
            )
        classes, num_classes = _classes(checkpoint), _num_classes(model)
        only_heads = not (missing or unexpected or any(n.startswith("backbone.") for n in reshaped))
        if only_heads and classes and num_classes and len(classes) != num_classes:
            raise RuntimeError(
                f"{path} was trained for another number of classes than this config's "
                f"{num_classes}. Train its heads anew with --cfg-options reinit_heads=True, or "
                f"use the file's own {len(classes)}: {classes_argument(classes)}"
            )
        complaints = [
            f"{label} {_some(names)}"
            for label, names in (("lacks", missing), ("has unexpected", unexpected))
            if names
        ]
        if reshaped:
            shapes = [f"{n}: file {given[n]}, model {own[n]}" for n in reshaped]
            complaints.append(f"has other shapes: {_some(shapes)}")
        raise RuntimeError(
            f"{path} does not fit this model: it {'; it '.join(complaints)}. "
            "Use the config that it was trained with"
        )


class RunIdentityHook(Hook):
    """Record in each checkpoint what was trained, and refuse to resume it as something else.

    Checkpoints without a record, written without this hook, are let through.

    Args:
        weights: Where the backbone's weights came from when the run began, or None for a run from
            scratch. It is given here, since a resumed run does not load them again.

    Raises:
        RuntimeError: On resuming a checkpoint of another backbone, arch or weights, naming both; of
            other classes; or of averaged weights without averaging.
    """

    # Before the strict comparison, whose list of names would say less.
    priority = "HIGHEST"

    def __init__(self, weights: str | None = None) -> None:
        self.weights = weights

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put the record into ``checkpoint['meta']``."""
        checkpoint["meta"][RECORD] = self._record(runner)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the record with this run, if the run is resumed."""
        if not runner._resume:
            return
        path = _checkpoint_path(runner)
        theirs = checkpoint.get("meta", {}).get(RECORD, {})
        for key, ours in self._record(runner).items():
            if theirs.get(key, ours) != ours:
                raise RuntimeError(
                    f"{path} was trained with {key} {theirs[key]!r}; this run "
                    f"asks for {ours!r}. Ask for the same to resume, or give another --work-dir "
                    "to begin a new run"
                )
        differences = _class_differences(_classes(checkpoint), runner.train_dataloader)
        if differences:
            raise RuntimeError(
                f"{path} was trained with {differences}. Give the same --classes to resume, or "
                "another --work-dir to begin a new run"
            )
        if "ema_state_dict" in checkpoint and not any(isinstance(h, EMAHook) for h in runner.hooks):
            raise RuntimeError(
                f"{path} holds averaged weights and what they are averaged from, and this run does "
                "not average. Resume it with --ema"
            )

    def _record(self, runner: Runner) -> dict[str, str]:
        backbone = getattr(_unwrap(runner.model), "backbone", None)
        record = {"backbone": type(backbone).__name__}
        if isinstance(backbone, ConvNeXt):
            names = [name for name, arch in ARCHS.items() if arch == backbone.arch]
            record["arch"] = names[0] if names else str(backbone.arch)
        record["weights"] = self.weights or "none"
        return record


class TrainingStateHook(Hook):
    """Refuse to resume a checkpoint that lacks the state of this run's optimizer or schedule.

    mmengine begins anew, without a word, what is missing, and ends in a bare error where it is of
    another kind.

    Raises:
        RuntimeError: Naming the file and the key.
    """

    # After the parameters are compared, whose differences say more.
    priority = "HIGH"

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the state with the run's, if the run is resumed."""
        if runner._resume:
            require_state_of_run(checkpoint, runner, _checkpoint_path(runner))


def _checkpoint_path(runner: Runner) -> str:
    return str(runner._load_from or latest_checkpoint(runner.work_dir))


def _unwrap(model: nn.Module) -> nn.Module:
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def _state_dict(checkpoint: object, path: str) -> Mapping:
    if not isinstance(checkpoint, Mapping):
        raise RuntimeError(f"{path} holds no state dict but a {type(checkpoint).__name__}")
    state = checkpoint.get("state_dict")
    if is_state(state):  # of a run here, with all that mmengine keeps beside it
        return state
    return checkpoint if is_state(checkpoint) else find_parameters(checkpoint, path).state


def _convert(state: Mapping, model: nn.Module, path: str) -> dict:
    """Give a ConvNeXt in a whole model our names, if it has other ones."""
    own = model.state_dict()
    state = {
        name if name in own else without_wrappers(name): value
        for name, value in state.items()
        if name in own or not name.startswith(OLD_AVERAGES)
    }
    if not isinstance(getattr(model, "backbone", None), ConvNeXt):
        return state
    try:
        found = find_convnext(state, path)
    except RuntimeError:  # the comparison says what the file lacks
        return state
    if not found.beside:
        return state
    message = f"{path}: {describe_arch(found.arch)} in the layout {found.layout.name!r}"
    print_log(f"{message}, {len(found.own)} backbone parameters", logger="current")
    return found.whole("backbone.")


def _reinit_heads(state: dict, own: dict, path: str) -> dict:
    """Leave out what differs in the number of classes alone, and say so."""
    shapes = _shapes(state)
    heads = [n for n in own if n in shapes and is_of_classes(n, shapes[n], own[n])]
    for name in heads:
        del state[name]
    if heads:
        message = f"{path}: heads of other classes keep their random values: {', '.join(heads)}"
        print_log(message, logger="current", level=logging.WARNING)
    return {name: shape for name, shape in own.items() if name not in heads}


def _shapes(state: Mapping) -> dict[str, tuple[int, ...] | None]:
    # mmengine strips the prefix of a wrapped model too.
    return {
        name.removeprefix("module."): tuple(value.shape) if hasattr(value, "shape") else None
        for name, value in state.items()
    }


def _classes(checkpoint: Mapping) -> tuple[str, ...]:
    meta = checkpoint.get("meta") or {}
    # mmdet 2.x and mmseg 0.x, which Meta's files come from, wrote CLASSES.
    return tuple(meta.get("dataset_meta", {}).get("classes") or meta.get("CLASSES") or ())


def _class_differences(trained: tuple[str, ...], loader: DataLoader) -> str:
    """Say how classes differ from a loader's; nothing where either is unknown."""
    ours = tuple(getattr(loader.dataset, "metainfo", {}).get("classes") or ())
    if not trained or not ours or trained == ours:
        return ""
    if len(trained) != len(ours):
        return f"{len(trained)} classes instead of {len(ours)}"
    pairs = zip(trained, ours, strict=True)
    return "the classes " + _some(f"{a} instead of {b}" for a, b in pairs if a != b)


def _num_classes(model: nn.Module) -> int:
    counts = (getattr(module, "num_classes", None) for module in model.modules())
    # The largest, since a region proposal head counts its one class.
    return max((count for count in counts if isinstance(count, int)), default=0)


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
