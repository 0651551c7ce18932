"""Results of threads come in order, and few wait in memory."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from convnext_dense_runtime.threads import map_in_threads


def test_order_is_that_of_the_items():
    def slow_at_first(item):
        time.sleep(0.05 if item == 0 else 0)
        return item * 2

    with ThreadPoolExecutor(3) as pool:
        assert list(map_in_threads(pool, slow_at_first, range(20), 5)) == list(range(0, 40, 2))


def test_few_items_are_drawn_before_their_results_are_asked_for():
    drawn = []

    def items():
        for index in range(1000):
            drawn.append(index)
            yield index

    with ThreadPoolExecutor(2) as pool:
        for taken, item in enumerate(map_in_threads(pool, int, items(), 4)):
            assert item == taken
            assert len(drawn) <= taken + 5
            if taken == 50:
                break


def test_an_error_comes_at_its_turn_and_stops_the_rest():
    started = []
    release = threading.Event()

    def work(item):
        started.append(item)
        if item == 1:
            raise OSError("disk full")
        release.wait(1)
        return item

    with ThreadPoolExecutor(1) as pool:
        results = map_in_threads(pool, work, range(100), 10)
        release.set()
        assert next(results) == 0
        with pytest.raises(OSError, match="disk full"):
            next(results)
    assert max(started) <= 12
