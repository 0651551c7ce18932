"""Report to a program or a console what a run does."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

TRAIN, VALIDATION, TEST = "training", "validation", "test"


@dataclass(frozen=True)
class Step:
    """An iteration that is done.

    Attributes:
        phase: ``training``, ``validation`` or ``test``.
        number: Iterations of the phase that are done, from 1. Those of a training count through all
            epochs.
        total: All iterations of the phase.
        epoch: Number of the epoch, from 1, and of all epochs; None if the training has none.
        loss: Mean of the last losses, or None.
        rate: Iterations per second, or None for the first.
        seconds_left: Estimate of the time until the end of the phase, without validations.
        memory: Highest use so far in bytes, of the GPU by tensors or of this process; or None.
        is_logged: Whether mmengine logs this iteration, by the interval of its LoggerHook.
    """

    phase: str
    number: int
    total: int
    epoch: tuple[int, int] | None
    loss: float | None
    rate: float | None
    seconds_left: float | None
    memory: int | None
    is_logged: bool


@dataclass(frozen=True)
class Validation:
    """The figures of a validation.

    Attributes:
        place: When it was, such as ``epoch 4``.
        metrics: Every metric by name, as mmengine logs it.
    """

    place: str
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Outcome:
    """What a training leaves.

    Attributes:
        rows: What is where, by title.
        config: The config in the work directory.
        checkpoint: The best checkpoint, or else the last; None if none was saved.
    """

    rows: Mapping[str, str]
    config: Path
    checkpoint: Path | None


class RunObserver:
    """Receive what a run reports, on rank 0. The methods do nothing unless they are overridden."""

    def facts(self, rows: Mapping[str, str]) -> None:
        """Receive facts about the run by title: first of its plan, then of what was built."""

    def step(self, step: Step) -> None:
        """Receive each iteration."""

    def validated(self, validations: Sequence[Validation], best: int, metric: str) -> None:
        """Receive the figures of a validation.

        Args:
            validations: Those of this process so far; the last is new.
            best: Index of the best one; -1 if an earlier process of a resumed run had a better one.
            metric: Name of the metric that decides which one is best.
        """

    def ended(self, outcome: Outcome) -> None:
        """Receive what a training has left at its end."""

    def logged(self, record: logging.LogRecord, text: str) -> None:
        """Receive a record that mmengine would print, and the line or lines that it would print."""


_observer: ContextVar[RunObserver | None] = ContextVar("observer", default=None)


@contextmanager
def observed_by(observer: RunObserver | None) -> Iterator[None]:
    """Send what the loggers that are built in this context would print to an observer."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


def send_to_observer(logger: logging.Logger, observer: RunObserver | None = None) -> None:
    """Send what a logger prints to the observer of this context, or to a given one; not its file.

    Args:
        logger: Its handlers are changed in place.
        observer: The observer, or None for that of :func:`observed_by`.
    """
    observer = observer or _observer.get()
    if observer is None:
        return
    for index, handler in enumerate(logger.handlers):
        if type(handler) is logging.StreamHandler:
            logger.handlers[index] = ObserverHandler(observer, handler)


class ObserverHandler(logging.Handler):
    """A handler of logs that sends records to an observer instead of printing them.

    Level, filters and format are those of the handler that would print.
    """

    def __init__(self, observer: RunObserver, printing: logging.Handler) -> None:
        super().__init__(printing.level)
        self.observer = observer
        # mmengine's MLflowVisBackend opens the stream of each handler again if it is closed.
        self.stream = getattr(printing, "stream", None)
        self.formatter = printing.formatter
        self.filters = printing.filters

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record."""
        self.observer.logged(record, self.format(record))
