"""Threads that prepare the next results while the caller uses the current one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


def map_in_threads(
    pool: Executor, function: Callable[[In], Out], items: Iterable[In], most_waiting: int
) -> Iterator[Out]:
    """Yield a function's results in order, computed by a pool, with few of them in memory.

    ``Executor.map`` would read all items before it yields the first result.

    Args:
        pool: Runs the function. The caller's thread iterates over the items.
        function: An error is raised when the result of its item is due.
        items: Any number of items.
        most_waiting: How many items may be in progress or done before their result is asked for.

    Yields:
        The function's results, in the order of the items.

    Example:
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> with ThreadPoolExecutor(2) as pool:
        ...     list(map_in_threads(pool, abs, [-3, 2, -1], most_waiting=1))
        [3, 2, 1]
    """
    waiting: deque[Future] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > most_waiting:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
