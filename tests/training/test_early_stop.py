"""A training ends when validations bring no new best, and leaves all that it should."""

from __future__ import annotations

import logging
from math import nan

import pytest
from mmengine.registry import METRICS

from convnext_dense.config.shared_parts import GUARDS

pytestmark = pytest.mark.slow


def guards() -> list[dict]:
    return [dict(type=guard) for guard in GUARDS]


@pytest.fixture
def train(make_runner, tmp_path, monkeypatch):
    """Train on given figures; return the runner and what it said when it stopped."""

    def run(figures, patience=2, checkpoint=None, **options):
        scores = iter(figures)
        metric = METRICS.get("RisingMetric")
        monkeypatch.setattr(metric, "compute_metrics", lambda *_: {"toy/score": next(scores)})
        hooks = [*guards(), dict(type="StopWithoutBestHook", patience=patience)]
        kind = dict(dict(type="DurableCheckpointHook"), **checkpoint or {})
        runner = make_runner("run", hooks=hooks, checkpoint=kind, **options)
        said: list[str] = []
        handler = logging.Handler(logging.WARNING)
        handler.emit = lambda record: said.append(record.getMessage())
        runner.logger.addHandler(handler)
        runner.logger.setLevel(logging.WARNING)
        runner.train()
        return runner, [line for line in said if "stops" in line]

    return run


@pytest.mark.parametrize(
    ("figures", "end"),
    [
        ([0.3, 0.2, 0.1], 3),
        ([0.3, 0.3, 0.3], 3),  # what only equals the best is no new best
        ([nan, nan], 2),
        ([0.3, 0.2, 0.31, 0.2], None),
        ([0.3, 0.30001, 0.2, 0.30002], None),  # any gain counts
        ([-1.0, nan, 0.1, 0.2], None),
    ],
    ids=str,
)
def test_the_training_stops_after_so_many_validations(train, figures, end):
    runner, said = train(figures)
    assert runner.epoch == (end or 4)
    assert len(said) == (end is not None)


def test_the_line_says_why_and_where_the_best_is(train, tmp_path):
    _, said = train([0.3, 0.2, 0.1])
    best = tmp_path / "run" / "best_toy_score_epoch_1.pth"
    assert said == [
        "the training stops after epoch 3: toy/score had no new best in 2 validations; "
        f"the best, 0.3, is {best}"
    ]
    assert best.is_file()


def test_the_line_where_no_figure_was_ever_one(train):
    _, said = train([nan, nan])
    assert said[0].endswith("in 2 validations; it has no best")


@pytest.mark.parametrize(
    "checkpoint",
    [
        dict(save_best="auto"),
        dict(save_best=["toy/score"]),
        dict(save_best="toy/score", rule="less"),
    ],
    ids=["auto", "list", "less"],
)
def test_the_figure_and_the_rule_are_those_of_the_best_checkpoint(train, checkpoint):
    figures = [0.3, 0.2, 0.1, 0.05] if checkpoint.get("rule") != "less" else [0.3, 0.4, 0.5, 0.6]
    runner, said = train(figures, checkpoint=checkpoint)
    assert runner.epoch == 3
    assert "the best, 0.3, is" in said[0]


def test_the_last_step_has_a_checkpoint(train, tmp_path):
    """Also where the interval of checkpoints would give it none."""
    runner, said = train([0.3, 0.2, 0.1], by_epoch=False, interval=4, checkpoint={})
    assert runner.iter == 9 and "after iteration 9" in said[0]
    assert (tmp_path / "run" / "last_checkpoint").read_text().endswith("iter_9.pth")
    assert (tmp_path / "run" / "iter_9.pth").is_file()


def test_a_run_that_has_stopped_stays_stopped_or_goes_on_with_more_patience(train):
    train([0.3, 0.2, 0.1])
    runner, _ = train([], resume=True)
    assert runner.epoch == 3
    runner, said = train([0.2], patience=3, resume=True)
    assert runner.epoch == 4 and "in 3 validations" in said[0]


def test_a_run_that_had_no_such_hook_knows_its_best(train, make_runner):
    with pytest.raises(KeyboardInterrupt):
        kind = dict(type="DurableCheckpointHook")
        make_runner("run", stop=12, hooks=guards(), checkpoint=kind).train()
    runner, said = train([1.5, 1.5], patience=2, resume=True)
    assert runner.epoch == 4
    assert "the best, 2," in said[0]
