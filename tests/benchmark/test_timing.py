"""Statistics by known numbers, and the order in which functions are timed."""

from __future__ import annotations

import itertools

import pytest
import torch

from convnext_dense.benchmark import timing
from convnext_dense.benchmark.timing import Spread, alternate, paired_ratio, rotated

CPU = torch.device("cpu")


def test_spread_is_median_and_quartiles():
    assert Spread.of([5.0, 1.0, 4.0, 2.0, 3.0]) == Spread(3.0, 2.0, 4.0)
    assert Spread.of([1.0, 2.0]) == Spread(1.5, 1.25, 1.75)
    assert Spread.of([7.0]) == Spread(7.0, 7.0, 7.0)


def test_ratios_are_taken_round_by_round():
    # A machine that slows down from round to round changes no ratio.
    ours = [1.0, 10.0, 100.0]
    assert paired_ratio([2.0, 20.0, 200.0], ours) == Spread(2.0, 2.0, 2.0)
    assert paired_ratio([3.0, 10.0, 500.0], ours).median == 3.0


def test_each_stands_at_each_place_in_turn():
    orders = [rotated("abc", turn) for turn in range(4)]
    assert orders == [list("abc"), list("bca"), list("cab"), list("abc")]


def test_alternates_in_rotating_order():
    called = []
    functions = {name: lambda name=name: called.append(name) for name in "abc"}
    samples = alternate(functions, CPU, rounds=3, min_time=0.0)
    assert "".join(called) == "abc" + "abcbcacab"  # first the calls that say how long one takes
    assert {name: len(times) for name, times in samples.items()} == dict(a=3, b=3, c=3)
    assert all(time > 0 for times in samples.values() for time in times)


def test_a_sample_is_the_mean_of_as_many_calls_as_take_the_time(monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(timing.time, "perf_counter", lambda: float(next(clock)))
    calls = []
    # Every call, or series of calls, takes one second by this clock.
    samples = alternate({"a": lambda: calls.append(1)}, CPU, rounds=2, min_time=4.0)
    assert len(calls) == 1 + 2 * 4
    assert samples == {"a": [0.25, 0.25]}


@pytest.mark.parametrize("name", ["Spread.of", "paired_ratio"])
def test_refuses_nothing_measured(name):
    function = {"Spread.of": lambda: Spread.of([]), "paired_ratio": lambda: paired_ratio([1], [])}
    with pytest.raises(ValueError):
        function[name]()
