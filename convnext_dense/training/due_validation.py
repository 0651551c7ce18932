"""Run the validation that a stopped run did not finish, when the run is resumed."""

from __future__ import annotations

import logging

from mmengine.hooks import EarlyStoppingHook, Hook
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from convnext_dense.training.early_stop import StopWithoutBestHook
from convnext_dense.training.runner_facts import counts_iterations, is_training, place, reached

# The key of the message hub with the epoch or iteration of the last validation.
# It does not begin with "val", since mmengine would log it as a figure.
VALIDATED = "last_validated"
# The key of a checkpoint's `meta` with the counts of early stopping.
EARLY_STOPPING = "early_stopping"
_COUNTED = ("wait_count", "best_score")


class DueValidationHook(Hook):
    """Run a missing validation when a run is resumed.

    A checkpoint is saved before the validation of its step. When it is resumed, mmengine 0.10.7
    goes on with the next step, so that a run which was stopped in between lacks the figures, and
    perhaps its best checkpoint. This hook records the last validation in each checkpoint, and runs
    a missing one, with all hooks, before training continues.

    It also keeps the counts of mmengine's EarlyStoppingHook in checkpoints.
    """

    # After every hook that prepares the training or uses the figures.
    priority = "LOWEST"

    def before_train(self, runner: Runner) -> None:
        """Run the validation if it is missing."""
        if not runner._resume or not is_due(runner):
            return
        if runner.message_hub.runtime_info.get(VALIDATED) == reached(runner):
            return
        runner.logger.log(
            logging.WARNING,
            f"the validation after {place(runner)} runs now: the resumed run ended before it was "
            "recorded",
        )
        runner.val_loop.run()

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Record that this step is validated, for the checkpoints that follow."""
        if is_training(runner):
            runner.message_hub.update_info(VALIDATED, reached(runner))

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Record the counts of early stopping."""
        hooks = _early_stopping(runner)
        if hooks:
            checkpoint["meta"][EARLY_STOPPING] = dict(
                stop=bool(runner.train_loop.stop_training),
                counted=[{name: float(getattr(hook, name)) for name in _COUNTED} for hook in hooks],
            )

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Restore the counts of early stopping, if the run is resumed."""
        record = checkpoint.get("meta", {}).get(EARLY_STOPPING)
        hooks = _early_stopping(runner)
        if not runner._resume or not record or not hooks:
            return
        for hook, counted in zip(hooks, record["counted"], strict=False):
            for name, value in counted.items():
                kind = type(getattr(hook, name))  # a count, or a figure
                setattr(hook, name, kind(value))
        # A run that has stopped continues if it is given more patience.
        is_patient = any(
            isinstance(hook, StopWithoutBestHook) and hook.wait_count < hook.patience
            for hook in hooks
        )
        runner.train_loop.stop_training = record["stop"] and not is_patient


def is_due(runner: Runner) -> bool:
    """Whether mmengine's loops validate after the step that the training has reached."""
    loop = runner.train_loop
    if runner.val_loop is None or not isinstance(loop, EpochBasedTrainLoop | IterBasedTrainLoop):
        return False
    position = reached(runner)
    if position < max(1, loop.val_begin):
        return False
    loop._decide_current_val_interval()
    last = loop.max_iters if counts_iterations(runner) else loop.max_epochs
    return position % loop.val_interval == 0 or position == last


def _early_stopping(runner: Runner) -> list[EarlyStoppingHook]:
    return [hook for hook in runner.hooks if isinstance(hook, EarlyStoppingHook)]
