"""The hook that reports a run's iterations and validations to an observer."""

from __future__ import annotations

import resource
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from mmengine.hooks import CheckpointHook, Hook, LoggerHook
from mmengine.runner import Runner

from convnext_dense.text import many
from convnext_dense.training.early_stop import StopWithoutBestHook
from convnext_dense.training.observer import (
    TEST,
    TRAIN,
    VALIDATION,
    Outcome,
    RunObserver,
    Step,
    Validation,
)
from convnext_dense.training.runner_facts import counts_iterations, is_training, place

# Iterations over which loss and time are averaged, and those between two logs if no hook says so.
WINDOW = 50
INTERVAL = 50


class ProgressHook(Hook):
    """Report iterations and validations to an observer.

    Args:
        observer: The observer.
        describe: Function that returns the facts of a run by title, before anything runs.
    """

    # After every hook that measures, and after the one that keeps the best checkpoint.
    priority = "LOWEST"

    def __init__(
        self, observer: RunObserver, describe: Callable[[Runner], Mapping[str, str]]
    ) -> None:
        self.observer = observer
        self._describe = describe
        self.validations: list[Validation] = []
        self._times: deque[float] = deque(maxlen=WINDOW)
        self._training_times = self._times
        self._losses: deque[float] = deque(maxlen=WINDOW)
        self._last = 0.0
        self._before: tuple[float, str] | None = None

    def before_run(self, runner: Runner) -> None:
        """Report the facts of the run."""
        self.observer.facts(self._describe(runner))

    def before_train(self, runner: Runner) -> None:
        """Keep the best score that a resumed run already has."""
        metric = _saved_best(runner)[0]
        score = runner.message_hub.runtime_info.get("best_score")
        if metric and score is not None:
            self._before = score, metric

    def before_train_epoch(self, runner: Runner) -> None:
        """Start the clock."""
        self._last = time.monotonic()

    before_test = before_train_epoch

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: object = None,
        outputs: Mapping | None = None,
    ) -> None:
        """Report an iteration of the training."""
        if "train/loss" in runner.message_hub.log_scalars:
            self._losses.append(runner.message_hub.get_scalar("train/loss").current())
        loss = sum(self._losses) / len(self._losses) if self._losses else None
        epoch = None if counts_iterations(runner) else (runner.epoch + 1, runner.max_epochs)
        self._report(runner, TRAIN, runner.iter, batch_idx, runner.max_iters, epoch, loss)

    def before_val(self, runner: Runner) -> None:
        """Start the clock of a validation."""
        self._training_times, self._times = self._times, deque(maxlen=WINDOW)
        self._last = time.monotonic()

    def after_val_iter(self, runner: Runner, batch_idx: int, *_: object, **__: object) -> None:
        """Report an iteration of a validation."""
        self._report(runner, VALIDATION, batch_idx, batch_idx, len(runner.val_dataloader))

    def after_val(self, runner: Runner) -> None:
        """Go on with the clock of the training."""
        self._times = self._training_times
        self._last = time.monotonic()

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Report the figures of a validation."""
        if not metrics or not is_training(runner):
            return
        self.validations.append(Validation(place(runner), dict(metrics)))
        metric, is_lower_better = _saved_best(runner)
        if metric not in metrics:
            metric, is_lower_better = next(iter(metrics)), "loss" in next(iter(metrics))
        scores = [one.metrics.get(metric, float("nan")) for one in self.validations]
        scores = [-score if is_lower_better else score for score in scores]
        # Of equal scores the first one stays the best, as for mmengine; NaN is never better.
        best = max(range(len(scores)), key=lambda i: (scores[i] == scores[i], scores[i]))
        if self._before and self._before[1] == metric:
            score = -self._before[0] if is_lower_better else self._before[0]
            best = best if scores[best] > score else -1
        self.observer.validated(self.validations, best, metric)

    def after_test_iter(self, runner: Runner, batch_idx: int, *_: object, **__: object) -> None:
        """Report an iteration of a test."""
        self._report(runner, TEST, batch_idx, batch_idx, len(runner.test_dataloader))

    def _report(
        self,
        runner: Runner,
        phase: str,
        index: int,
        batch_idx: int,
        total: int,
        epoch: tuple[int, int] | None = None,
        loss: float | None = None,
    ) -> None:
        now = time.monotonic()
        if self._last:
            self._times.append(now - self._last)
        self._last = now
        mean = sum(self._times) / len(self._times) if self._times else None
        interval = next((h.interval for h in runner.hooks if isinstance(h, LoggerHook)), INTERVAL)
        done = index + 1
        self.observer.step(
            Step(
                phase,
                done,
                total,
                epoch,
                loss,
                1 / mean if mean else None,
                mean * (total - done) if mean else None,
                _memory(),
                (batch_idx + 1) % interval == 0 or done == total,
            )
        )


def outcome_of(runner: Runner, config: Path) -> Outcome:
    """Return what a training that has ended left, beside its config in the work directory."""
    hooks = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
    best = next((Path(h.best_ckpt_path) for h in hooks if getattr(h, "best_ckpt_path", None)), None)
    last = next((Path(h.last_ckpt) for h in hooks if h.last_ckpt), None)
    rows = {}
    if getattr(runner.train_loop, "stop_training", False):
        ours = [hook for hook in runner.hooks if isinstance(hook, StopWithoutBestHook)]
        rows["stopped"] = "early, " + (
            f"after {many(ours[0].wait_count, 'validation')} without a new best"
            if ours
            else "by the config's EarlyStoppingHook"
        )
    if best:
        rows["best"] = str(_from_here(best))
    rows["last"] = str(_from_here(last) if last else "no checkpoint was saved")
    rows["config"] = str(_from_here(config))
    rows["log"] = log_file(runner)
    checkpoint = best or last
    return Outcome(rows, _from_here(config), checkpoint and _from_here(checkpoint))


def log_file(runner: Runner) -> str:
    """Return the path of a run's log."""
    return str(_from_here(Path(runner.log_dir, f"{runner.timestamp}.log")))


def _from_here(path: Path) -> Path:
    """Return a path relative to the current folder if it is below it: mmengine's are absolute."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _saved_best(runner: Runner) -> tuple[str | None, bool]:
    """Return the metric of the best checkpoint, or None, and whether lower values are better."""
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and hook.save_best:
            metric = hook.key_indicators[0]
            if metric != "auto":
                return metric, hook.rules[0] == "less"
    return None, False


def _memory() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
