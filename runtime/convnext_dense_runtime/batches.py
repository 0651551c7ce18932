"""Pictures of one size together, and their results."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import TypeVar

from convnext_dense_runtime.results import Detections, Prediction, Segmentation, Unreadable

Item = TypeVar("Item")


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
