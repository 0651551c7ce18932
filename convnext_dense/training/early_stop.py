"""End a training that no longer gets better."""

from __future__ import annotations

import logging
from math import inf

from mmengine.hooks import CheckpointHook, EarlyStoppingHook
from mmengine.runner import Runner

from convnext_dense.text import many
from convnext_dense.training.runner_facts import place


class StopWithoutBestHook(EarlyStoppingHook):
    """Stop the training when several validations in a row bring no new best checkpoint.

    The checkpoint hook decides what is better: the figure is the one that it saves the best by, the
    first if there are several. A figure that only equals the best is no new best.

    Args:
        patience: The number of validations.
    """

    # After the checkpoint hook, and before the hooks that use what is decided here.
    priority = 95

    def __init__(self, patience: int) -> None:
        # The monitored figure may be known only after the first validation.
        super().__init__(monitor="best_score", rule="greater", patience=patience)
        self.best_score: float
        self.wait_count: int

    def before_train(self, runner: Runner) -> None:
        """Take over the best of a resumed run, which may have had no such hook."""
        self.best_score = self._best(runner)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Count the validations without a new best, and stop the training after the last one."""
        best = self._best(runner)
        is_new = best != self.best_score
        self.best_score, self.wait_count = best, 0 if is_new else self.wait_count + 1
        if self.wait_count < self.patience:
            return
        runner.train_loop.stop_training = True
        saver = _saver(runner)
        found = "it has no best"
        if best != -inf:
            found = f"the best, {best:.4g}, is {runner.message_hub.get_info(_key(saver, 'ckpt'))}"
        runner.logger.log(
            logging.WARNING,
            f"the training stops after {place(runner)}: {saver.key_indicators[0]} had no new best "
            f"in {many(self.wait_count, 'validation')}; {found}",
        )

    def _best(self, runner: Runner) -> float:
        """Return the score of the best checkpoint, or minus infinity if there is none yet."""
        return runner.message_hub.runtime_info.get(_key(_saver(runner), "score"), -inf)


def _saver(runner: Runner) -> CheckpointHook:
    """Return the hook that saves the best checkpoint."""
    return next(h for h in runner.hooks if isinstance(h, CheckpointHook) and h.save_best)


def _key(saver: CheckpointHook, kind: str) -> str:
    """Return the key of the message hub for the best ``score``, or for the ``ckpt`` with it."""
    several = len(saver.key_indicators) > 1
    return f"best_{kind}_{saver.key_indicators[0]}" if several else f"best_{kind}"
