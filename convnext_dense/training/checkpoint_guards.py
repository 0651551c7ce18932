"""Hooks that refuse a checkpoint of another model or of another run."""

from __future__ import annotations

import logging

from mmengine.hooks import EMAHook, Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from convnext_dense.backbone import ARCHS, ConvNeXt, ResNetToConvNeXt
from convnext_dense.backbone.roadmap import network_name
from convnext_dense.checkpoints.containers import RECORD, meta_of, trained_classes
from convnext_dense.checkpoints.latest import latest_checkpoint
from convnext_dense.checkpoints.target_model import unwrap_model
from convnext_dense.checkpoints.whole_model import parameters_for_model
from convnext_dense.text import first_of
from convnext_dense.training.run_state import require_state_of_run
from convnext_dense.training.runner_facts import is_training

SHOWN = 4


class StrictLoadHook(Hook):
    """Refuse a checkpoint whose parameter names or shapes are not the model's.

    mmengine loads the parameters that fit and only logs a warning about the rest, so that a run
    could train or test with random weights. This hook checks tests, ``load_from`` and resuming by
    :func:`~convnext_dense.checkpoints.whole_model.parameters_for_model`. With the config key
    ``reinit_heads=True``, heads for another number of classes keep their random values when
    training starts from a checkpoint. A test with the same number of classes but other names goes
    on, with a warning.

    Raises:
        RuntimeError: If the checkpoint does not fit; the message names the file and the keys.
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
                f"{_checkpoint_path(runner)} was trained with {differences}; the figures are shown "
                "with the class names of this test",
                logger="current",
                level=logging.WARNING,
            )

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare a checkpoint with the model before mmengine loads it."""
        self._trained_classes = trained_classes(meta_of(checkpoint))
        # mmengine reads the parameters from this key.
        checkpoint["state_dict"] = parameters_for_model(
            runner.model,
            checkpoint,
            _checkpoint_path(runner),
            resume=runner._resume,
            # A test uses the checkpoint as it is.
            reinit_heads=bool(runner.cfg.get("reinit_heads")) if is_training(runner) else None,
        )


class RunIdentityHook(Hook):
    """Record in each checkpoint what was trained, and refuse to resume it as something else.

    A checkpoint without a record, which was written without this hook, is accepted.

    Args:
        weights: The source of the backbone's weights when the run began, or None for a run from
            scratch. The hook cannot find it out, since a resumed run does not load them again.

    Raises:
        RuntimeError: If the checkpoint to resume has another backbone, arch, weights or classes,
            or has averaged weights and this run does not average.
    """

    # Before the strict comparison, whose list of keys would be less clear.
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
                    f"asks for {ours!r}. Ask for the same to resume, or give another `work_dir` "
                    "to begin a new run"
                )
        differences = _class_differences(
            trained_classes(meta_of(checkpoint)), runner.train_dataloader
        )
        if differences:
            raise RuntimeError(
                f"{path} was trained with {differences}. Give the same `classes` to resume, or "
                "another `work_dir` to begin a new run"
            )
        if "ema_state_dict" in checkpoint and not any(isinstance(h, EMAHook) for h in runner.hooks):
            raise RuntimeError(
                f"{path} contains averaged weights, but this run does not average. Resume it with "
                "`ema=True`"
            )

    def _record(self, runner: Runner) -> dict[str, str]:
        backbone = getattr(unwrap_model(runner.model), "backbone", None)
        record = {"backbone": type(backbone).__name__}
        if isinstance(backbone, ConvNeXt):
            names = [name for name, arch in ARCHS.items() if arch == backbone.arch]
            record["arch"] = names[0] if names else str(backbone.arch)
        elif isinstance(backbone, ResNetToConvNeXt):
            record["arch"] = network_name(backbone.step, backbone.regime)
        record["weights"] = self.weights or "none"
        return record


class TrainingStateHook(Hook):
    """Refuse to resume a checkpoint without the state of this run's optimizer or schedule.

    mmengine silently starts a missing state from the beginning, and fails with an unclear error if
    a state is of another kind.

    Raises:
        RuntimeError: If a state is missing or of another kind; the message names file and key.
    """

    # After the comparison of parameters, whose message is clearer.
    priority = "HIGH"

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the state with the run's, if the run is resumed."""
        if runner._resume:
            require_state_of_run(checkpoint, runner, _checkpoint_path(runner))


def _checkpoint_path(runner: Runner) -> str:
    return str(runner._load_from or latest_checkpoint(runner.work_dir))


def _class_differences(trained: tuple[str, ...], loader: DataLoader) -> str:
    """Return how classes differ from a loader's; empty if either are unknown."""
    ours = tuple(getattr(loader.dataset, "metainfo", {}).get("classes") or ())
    if not trained or not ours or trained == ours:
        return ""
    if len(trained) != len(ours):
        return f"{len(trained)} classes instead of {len(ours)}"
    pairs = zip(trained, ours, strict=True)
    return "the classes " + first_of([f"{a} instead of {b}" for a, b in pairs if a != b], SHOWN)
