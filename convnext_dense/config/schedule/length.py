"""The length of a training, and how places in one become places in another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from mmengine.config import Config

from convnext_dense.text import many

# mmengine's value for a scheduler without end.
ENDLESS = 10**9


@dataclass(frozen=True)
class Length:
    """The length of a training in the unit that its loop counts.

    Attributes:
        steps: Epochs or iterations.
        by_epoch: Whether they are epochs.
    """

    steps: int
    by_epoch: bool

    def __str__(self) -> str:
        return many(self.steps, "epoch" if self.by_epoch else "iteration")


@dataclass(frozen=True)
class Scaling:
    """The change of a training's length.

    A factor is exact, so that half of a length halves every place in it.

    Attributes:
        old: The config's length.
        new: The run's length.
        per_epoch: Iterations of an epoch on the run's data, or None if they could not be counted.
    """

    old: Length
    new: Length
    per_epoch: int | None = None

    @property
    def of_epochs(self) -> Fraction:
        """New steps, in the new loop's unit, for an epoch of the old run."""
        return Fraction(self.new.steps, self.old.steps)

    @property
    def of_iterations(self) -> Fraction:
        """New iterations for an iteration of the old run."""
        if self.old.by_epoch == self.new.by_epoch:
            return Fraction(self.new.steps, self.old.steps)
        # Without data no run begins, so a plan without data may leave iterations as they are.
        return Fraction(self.new.steps, self.old.steps * self.per_epoch) if self.per_epoch else ONE

    @property
    def iterations(self) -> int | None:
        """Iterations of the new run, or None if they could not be counted."""
        if not self.new.by_epoch:
            return self.new.steps
        return self.new.steps * self.per_epoch if self.per_epoch else None

    def interval(self, old: int, by_epoch: bool) -> int:
        """Return an interval of the new run, such as that between validations.

        Where a run of iterations is compared with epochs, it is at least one epoch.
        """
        if old < 1:  # -1 means never
            return old
        new = max(1, nearest(old * (self.of_epochs if by_epoch else self.of_iterations)))
        if self.per_epoch and not self.new.by_epoch:
            new = max(new, min(self.per_epoch, self.new.steps))
        return new


ONE = Fraction(1)


def nearest(place: Fraction) -> int:
    """Return the nearest whole step; of two, the earlier, so that none moves out of the run."""
    return math.ceil(place - Fraction(1, 2))


def read_length(cfg: Config) -> Length:
    """Return the length of a config's training.

    Raises:
        ValueError: If the config states none.
    """
    for key, by_epoch in (("max_epochs", True), ("max_iters", False)):
        steps = cfg.train_cfg.get(key)
        if steps is not None:
            return Length(int(steps), by_epoch)
    raise ValueError(
        f"{cfg.filename or 'the config'}: train_cfg has neither max_epochs nor max_iters, so its "
        "length cannot be changed"
    )
