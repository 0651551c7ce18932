"""A validation that a stopped run owed, made up by the run that goes on."""

from __future__ import annotations

import logging

from mmengine.hooks import EarlyStoppingHook, Hook
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from mmengine.runner.base_loop import BaseLoop

# The key of the message hub with the epoch or iteration that was validated last.
# mmengine takes what begins with "val" for a figure.
VALIDATED = "last_validated"
# The key of a checkpoint's `meta` with what the early stopping has counted.
EARLY_STOPPING = "early_stopping"
_COUNTED = ("wait_count", "best_score")


class DueValidationHook(Hook):
    """Validate on resuming where the run that is resumed was to validate and did not.

    A checkpoint is saved before the validation of its step. mmengine 0.10.7 goes on with the step
    after it, so that a run which is stopped in between lacks the figures, and perhaps its best
    checkpoint. A checkpoint says here which validation it knows of; the one that is missing is run
    before training goes on, with all hooks.

    What mmengine's EarlyStoppingHook has counted is kept in checkpoints too.
    """

    # After every hook that prepares the training, and every hook that uses the figures.
    priority = "LOWEST"

    def before_train(self, runner: Runner) -> None:
        """Make up the validation that is missing."""
        if not runner._resume or not is_due(runner):
            return
        if runner.message_hub.runtime_info.get(VALIDATED) == _position(runner.train_loop):
            return
        runner.logger.log(
            logging.WARNING,
            f"the validation after {_unit(runner.train_loop)} {_position(runner.train_loop)} is "
            "made up: the run that is resumed ended before it was recorded",
        )
        runner.val_loop.run()

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Record that this step is validated, for the checkpoints that follow."""
        if isinstance(runner._train_loop, BaseLoop):
            runner.message_hub.update_info(VALIDATED, _position(runner.train_loop))

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Record what the early stopping has counted."""
        hooks = _early_stopping(runner)
        if hooks:
            checkpoint["meta"][EARLY_STOPPING] = dict(
                stop=bool(runner.train_loop.stop_training),
                counted=[{name: float(getattr(hook, name)) for name in _COUNTED} for hook in hooks],
            )

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take over what the early stopping has counted, if the run is resumed."""
        record = checkpoint.get("meta", {}).get(EARLY_STOPPING)
        hooks = _early_stopping(runner)
        if not runner._resume or not record or not hooks:
            return
        runner.train_loop.stop_training = record["stop"]
        for hook, counted in zip(hooks, record["counted"], strict=False):
            for name, value in counted.items():
                setattr(hook, name, value)


def is_due(runner: Runner) -> bool:
    """Whether mmengine's loops validate after the step that a training has reached."""
    loop = runner.train_loop
    if runner.val_loop is None or not isinstance(loop, EpochBasedTrainLoop | IterBasedTrainLoop):
        return False
    position = _position(loop)
    if position < max(1, loop.val_begin):
        return False
    loop._decide_current_val_interval()
    last = loop.max_iters if isinstance(loop, IterBasedTrainLoop) else loop.max_epochs
    return position % loop.val_interval == 0 or position == last


def _position(loop: BaseLoop) -> int:
    return loop.iter if isinstance(loop, IterBasedTrainLoop) else loop.epoch


def _unit(loop: BaseLoop) -> str:
    return "iteration" if isinstance(loop, IterBasedTrainLoop) else "epoch"


def _early_stopping(runner: Runner) -> list[EarlyStoppingHook]:
    return [hook for hook in runner.hooks if isinstance(hook, EarlyStoppingHook)]
