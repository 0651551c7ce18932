"""Work done by threads ahead of the one who asks for it."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

import torch

In = TypeVar("In")
Out = TypeVar("Out")


def map_ahead(
    pool: Executor, function: Callable[[In], Out], items: Iterable[In], ahead: int
) -> Iterator[Out]:
    """Map a function over items in a pool, in order, with few of them in memory.

    ``Executor.map`` would take all items at once.

    Args:
        pool: Where the function runs. The items are drawn by the caller's thread.
        function: Its errors are raised when its item's turn comes.
        items: Any number of them.
        ahead: How many may be under way or done beyond the one that is asked for.

    Yields:
        The function's results, in the order of the items.

    Example:
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> with ThreadPoolExecutor(2) as pool:
        ...     list(map_ahead(pool, abs, [-3, 2, -1], ahead=1))
        [3, 2, 1]
    """
    waiting: deque[Future] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def callers_autocast(device_type: str) -> Callable[[], torch.autocast]:
    """Return what puts another thread under the autocast of this one.

    torch keeps it per thread: a thread of a pool would compute in float32.

    Args:
        device_type: Of the work, such as ``cpu``.

    Returns:
        A function that makes a context manager.
    """
    return functools.partial(
        torch.autocast,
        device_type,
        dtype=torch.get_autocast_dtype(device_type),
        enabled=torch.is_autocast_enabled(device_type),
        cache_enabled=torch.is_autocast_cache_enabled(),
    )
