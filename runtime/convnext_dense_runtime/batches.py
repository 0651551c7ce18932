"""Pictures of one size together, and their results."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from convnext_dense_runtime.results import Detections, Prediction, Segmentation, Unreadable

Image = str | Path | np.ndarray
Item = TypeVar("Item")
# Errors of the machine, not of a picture; torch, OpenCV and the backends have no class for them.
_MACHINE_ERROR = re.compile(
    r"out of memory|can't allocate memory|[Ff]ailed to allocate|Insufficient memory|bad_alloc"
    r"|CUDA (error|failure)|CUBLAS|CUDNN"
)


@dataclass(frozen=True)
class ReadPicture:
    """A picture and the network's input made from it, or why it could not be read.

    Attributes:
        source: The path, URL or array that was given.
        picture: (H, W, 3) uint8, to be drawn on.
        input: What the network takes.
        shape: The shape of the input.
        unreadable: Why it could not be read, in one line; then there is nothing else.
    """

    source: Image
    picture: np.ndarray | None = None
    input: Any = None
    shape: tuple[int, ...] | None = None
    unreadable: str = ""

    def shares_batch(self, other: ReadPicture) -> bool:
        """Whether the inputs of two pictures may be in one batch."""
        return self.shape is not None and self.shape == other.shape


def in_batches(
    items: Iterable[Item], most: int, fit: Callable[[Item, Item], bool]
) -> Iterator[list[Item]]:
    """Yield items in batches, in their order.

    Args:
        items: Any number of items.
        most: Items in a batch.
        fit: Whether two neighbours may be in one batch.

    Example:
        >>> list(in_batches("aabbba", 2, str.__eq__))
        [['a', 'a'], ['b', 'b'], ['b'], ['a']]
    """
    batch: list[Item] = []
    for item in items:
        if batch and not fit(batch[-1], item):
            yield batch
            batch = []
        batch.append(item)
        if len(batch) == most:
            yield batch
            batch = []
    if batch:
        yield batch


def run_batch(
    batch: list[ReadPicture],
    run: Callable[[list[ReadPicture]], Sequence[Detections | Segmentation]],
    errors: tuple[type[Exception], ...] = (Exception,),
) -> list[Prediction]:
    """Run a batch; if that fails, run each picture alone, so that only one at fault has no result.

    Args:
        batch: Pictures that share a batch, or one that could not be read.
        run: Returns their results.
        errors: What it raises for pictures that cannot be run.

    Raises:
        Exception: As :func:`why_unreadable`.
    """
    if batch[0].unreadable:
        return [Prediction(one.source, None, Unreadable(one.unreadable)) for one in batch]
    try:
        results = run(batch)
    except errors as error:
        reason = why_unreadable(batch[0].source, error)
        if len(batch) == 1:
            return [Prediction(batch[0].source, None, Unreadable(reason))]
        return [prediction for one in batch for prediction in run_batch([one], run, errors)]
    return [
        Prediction(one.source, one.picture, result)
        for one, result in zip(batch, results, strict=True)
    ]


def why_unreadable(image: Image, error: Exception) -> str:
    """Return in one line why a picture has no result.

    Raises:
        Exception: The error itself, if it is the machine's: other pictures would fail as well.
    """
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, MemoryError) or _MACHINE_ERROR.search(reason):
        raise error
    name = "an array" if isinstance(image, np.ndarray) else str(image)
    return reason if name in reason else f"{name}: {reason}"


def results_of(
    predictions: Generator[Prediction, None, None],
) -> list[Detections | Segmentation]:
    """Return the results of pictures.

    Args:
        predictions: Is closed, also after an error. Else its threads would be joined whenever the
            error is collected as garbage, which may be while a new thread begins: both then wait
            for each other.

    Raises:
        ValueError: If a picture could not be read or run; the message names it.
    """
    results = []
    with closing(predictions):
        for prediction in predictions:
            if isinstance(prediction.result, Unreadable):
                raise ValueError(prediction.result.reason)
            results.append(prediction.result)
    return results
