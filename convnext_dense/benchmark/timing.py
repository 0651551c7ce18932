"""Measure the times of functions in turns, and summarise them."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Spread:
    """The median of samples, and the quartiles that hold half of them.

    Attributes:
        median: In the unit of the samples.
        low: The first quartile.
        high: The third quartile.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        """Summarise one sample or more.

        Example:
            >>> Spread.of([1.0, 2.0, 3.0, 4.0, 10.0])
            Spread(median=3.0, low=2.0, high=4.0)
        """
        if len(samples) == 1:
            return cls(samples[0], samples[0], samples[0])
        low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
        return cls(statistics.median(samples), low, high)


# Until there are samples.
UNMEASURED = Spread(math.nan, math.nan, math.nan)


def paired_ratio(others: Sequence[float], ours: Sequence[float]) -> Spread:
    """Summarise the ratios of samples from the same rounds.

    Example:
        >>> paired_ratio([2.0, 6.0, 9.0], [1.0, 2.0, 6.0]).median
        2.0
    """
    return Spread.of([other / own for other, own in zip(others, ours, strict=True)])


def rotated(names: Sequence[str], turn: int) -> list[str]:
    """Return the names in the order of a round: each round begins with the next name.

    Example:
        >>> rotated(["a", "b", "c"], 1)
        ['b', 'c', 'a']
    """
    start = turn % len(names)
    return [*names[start:], *names[:start]]


def synchronise(device: torch.device) -> None:
    """Wait until a device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(function: Callable[[], object], device: torch.device, calls: int = 1) -> float:
    """Return the mean time of a call."""
    synchronise(device)
    start = time.perf_counter()
    for _ in range(calls):
        function()
    synchronise(device)
    return (time.perf_counter() - start) / calls


def alternate(
    functions: Mapping[str, Callable[[], object]],
    device: torch.device,
    rounds: int,
    min_time: float,
) -> dict[str, list[float]]:
    """Time functions in turns, so that other work on the machine disturbs all of them alike.

    Each round samples each function once, in an order that rotates from round to round. A sample
    is the mean of as many calls as take ``min_time`` seconds.

    Args:
        functions: The functions by name; each has been called before.
        device: Their device.
        rounds: Samples of each function.
        min_time: The least seconds of a sample.

    Returns:
        Seconds per call, one sample per round, by name.
    """
    calls = {
        name: math.ceil(min_time / max(seconds(function, device), 1e-9))
        for name, function in functions.items()
    }
    samples: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(rounds):
        for name in rotated(list(functions), turn):
            samples[name].append(seconds(functions[name], device, max(calls[name], 1)))
    return samples
