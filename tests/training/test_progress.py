"""What an observer gets from a run: each iteration, each validation, which one is best."""

from __future__ import annotations

from pathlib import Path

import pytest

from convnext_dense.training.observer import TRAIN, VALIDATION, RunObserver
from convnext_dense.training.progress import ProgressHook, outcome_of

pytestmark = pytest.mark.slow


class Recorder(RunObserver):
    def __init__(self):
        self.steps, self.bests, self.validations = [], [], []

    def facts(self, rows):
        self.rows = rows

    def step(self, step):
        self.steps.append(step)

    def validated(self, validations, best, metric):
        self.validations = list(validations)
        self.bests.append(best)
        self.metric = metric


@pytest.fixture
def observed(make_runner):
    """Train, and return what was observed and the runner."""

    def train(*args, **kwargs):
        runner = make_runner(*args, **kwargs)
        runner.register_hook(ProgressHook(seen := Recorder(), lambda runner: {"model": "Net"}))
        try:
            runner.train()
        except KeyboardInterrupt:
            assert "stop" in kwargs
        return seen, runner

    return train


@pytest.mark.parametrize("by_epoch", [True, False])
def test_iterations(observed, by_epoch):
    seen, _ = observed("w", by_epoch=by_epoch)
    assert seen.rows == {"model": "Net"}
    steps = [step for step in seen.steps if step.phase == TRAIN]
    total = 20 if by_epoch else 12
    assert [(step.number, step.total) for step in steps] == [
        (n, total) for n in range(1, total + 1)
    ]
    epochs = [(1 + n // 5, 4) for n in range(20)] if by_epoch else [None] * 12
    assert [step.epoch for step in steps] == epochs
    assert all(step.loss > 0 and step.rate > 0 and step.memory > 0 for step in steps)
    assert steps[-1].seconds_left == 0 < steps[0].seconds_left
    # The LoggerHook logs each tenth iteration of an epoch; here epochs have 5.
    logged = [step.number for step in steps if step.is_logged]
    assert logged == ([20] if by_epoch else [10, 12])
    validating = [(step.number, step.total) for step in seen.steps if step.phase == VALIDATION]
    assert validating == 4 * [(1, 2), (2, 2)]


@pytest.mark.parametrize(
    ("by_epoch", "places"),
    [
        (True, ["epoch 1", "epoch 2", "epoch 3", "epoch 4"]),
        (False, ["iteration 3", "iteration 6", "iteration 9", "iteration 12"]),
    ],
)
def test_the_best_validation_is_that_of_the_best_checkpoint(observed, by_epoch, places):
    seen, runner = observed("w", by_epoch=by_epoch, metric="UnsteadyMetric")
    assert [one.place for one in seen.validations] == places
    scores = [one.metrics["toy/score"] for one in seen.validations]
    assert seen.metric == "toy/score"
    assert seen.bests == [scores.index(max(scores[: n + 1])) for n in range(4)]
    outcome = outcome_of(runner, Path("config.py"))
    assert outcome.checkpoint.stem.endswith(places[seen.bests[-1]].split()[1])


def test_lower_is_better_where_the_hook_says_so(observed):
    checkpoint = dict(save_best="toy/other", rule="less")
    seen, _ = observed("w", metric="UnsteadyMetric", checkpoint=checkpoint)
    scores = [one.metrics["toy/other"] for one in seen.validations]
    assert (seen.metric, seen.bests[-1]) == ("toy/other", scores.index(min(scores)))


def test_without_a_best_checkpoint_the_first_figure_decides(observed):
    seen, runner = observed("w", checkpoint=dict(save_best=None, rule=None))
    assert (seen.metric, seen.bests) == ("toy/score", [0, 1, 2, 3])
    assert outcome_of(runner, Path("config.py")).checkpoint.name == "epoch_4.pth"


def test_a_resumed_run_knows_the_best_of_the_earlier_one(observed):
    seen, _ = observed("w", stop=11)
    assert seen.bests == [0, 1]  # the score rises from 1 to 2
    seen, _ = observed("w", resume=True)
    assert [one.place for one in seen.validations] == ["epoch 3", "epoch 4"]
    assert seen.bests == [-1, -1]  # it starts at 1 again, and 2 is no better than 2
