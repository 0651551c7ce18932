"""What a work directory tells of its run."""

from __future__ import annotations

import itertools
import json
import os
import time

import pytest

from convnext_dense.evaluation.figures import Figures, write_figures
from convnext_dense.report import logs
from convnext_dense.report.run import modified, read_run, read_runs

EPOCHS = "train_cfg = dict(max_epochs=2)"
ITERATIONS = "train_cfg = dict(max_iters=100)"


def age(folder, seconds):
    """Let everything in a folder be written so long ago."""
    then = time.time() - seconds
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (then, then))


@pytest.fixture
def training(helpers):
    return helpers["training"]


@pytest.fixture
def lines(helpers):
    return helpers["lines"]


def steps(records):
    return [record["step"] for record in records]


def test_a_finished_run(detector):
    run = read_run(detector.folder)
    assert run.state.name == "finished"
    assert run.by_epoch
    assert (steps(run.train), steps(run.val)) == ([1, 2, 3, 4, 5, 6], [1, 2])
    assert run.metrics() == ["coco/bbox_mAP", "coco/bbox_mAP_50"]
    assert run.config.train_cfg.max_epochs == run.length == 2
    assert (run.name, run.recipe, run.checkpoint.name) == ("detector", "my_config", "epoch_2.pth")
    assert str(run.starts[0]) == "2026-01-31 12:00:00"
    assert run.environment == {
        "sys.platform": "linux",
        "Python": "3.11.7 (main) [GCC 12.2.0]",
        "PyTorch": "2.13.0+cpu",
        "OpenCV": "5.0.0",
        "seed": "7",
    }
    assert not run.problems


def test_a_resumed_run_by_iteration(work_dir, training, lines):
    first = [*training([10, 20, 30, 40], 5.0), dict(mIoU=1.0, step=20), dict(mIoU=9.0, step=40)]
    again = [*training([30, 40, 50], 4.0), dict(mIoU=2.0, step=40)]
    made = work_dir()
    made.start("20260131_120000", lines(first), ITERATIONS)
    made.start("20260131_130000", lines(again), ITERATIONS)
    run = read_run(made.folder)
    assert steps(run.train) == [10, 20, 30, 40, 50]
    assert [record["loss"] for record in run.train] == [5, 5, 4, 4, 4]
    # The first start's validation after the point of resuming is not this run's.
    assert [(record["step"], record["mIoU"]) for record in run.val] == [(20, 1), (40, 2)]
    assert len(run.starts) == 2


def test_a_resumed_run_by_epoch(work_dir, training, lines):
    def epoch(step):
        return (step - 1) // 3 + 1

    first = [*training(range(1, 9), 5.0, epoch), dict(AP=0.1, step=1), dict(AP=0.9, step=2)]
    again = [*training(range(4, 10), 4.0, epoch), dict(AP=0.2, step=2), dict(AP=0.3, step=3)]
    made = work_dir()
    made.start("20260131_120000", lines(first), EPOCHS)
    made.start("20260131_130000", lines(again), EPOCHS)
    run = read_run(made.folder)
    assert steps(run.train) == list(range(1, 10))
    assert [(record["step"], record["AP"]) for record in run.val] == [(1, 0.1), (2, 0.2), (3, 0.3)]


def test_a_run_that_was_started_anew(work_dir, training, lines):
    made = work_dir()
    made.start("20260131_120000", lines(training([10, 20, 30])), ITERATIONS)
    made.start("20260131_130000", lines(training([10, 20])), ITERATIONS)
    run = read_run(made.folder)
    assert steps(run.train) == [10, 20]
    assert [start.hour for start in run.starts] == [13]


def test_a_killed_run_leaves_half_a_line(work_dir, training, lines):
    whole = lines(training([10, 20, 30]))
    made = work_dir().start("20260131_120000", whole[:-40], ITERATIONS)
    age(made.folder, 3600)
    run = read_run(made.folder)
    assert steps(run.train) == [10, 20]
    assert run.state.name == "stopped"
    assert "before its 100 iterations" in run.state.detail
    assert run.problems == ["20260131_120000/vis_data/scalars.json: 1 broken line left out"]


@pytest.mark.parametrize(("silent", "state"), [(5, "running"), (3600, "stopped")])
def test_a_run_that_is_going_on_wrote_lately(work_dir, training, lines, silent, state):
    made = work_dir().start("20260131_120000", lines(training([10])), ITERATIONS)
    assert read_run(made.folder, now=time.time() + silent).state.name == state


@pytest.mark.parametrize("file", ["train.out", "20260131_120000/20260131_120000.log"])
def test_a_failed_run_shows_its_last_error(work_dir, training, lines, helpers, file):
    made = work_dir().start("20260131_120000", lines(training([10])), ITERATIONS)
    trace = "Traceback (most recent call last):\n  File 'a.py', line 3\nRuntimeError: it broke\n"
    (made.folder / file).write_text(f"{helpers['log']}Iter 10\n{trace}")
    state = read_run(made.folder).state
    assert (state.name, list(state.error)) == ("failed", trace.splitlines())


def test_an_error_before_the_last_start_is_over(work_dir, training, lines):
    made = work_dir().start("20260131_120000", lines(training([10])), ITERATIONS)
    error = made.folder / "first.out"
    error.write_text("error: there is no weight\n")
    os.utime(error, (0, 0))
    assert read_run(made.folder).state.name == "running"


def test_an_error_after_which_the_log_goes_on_is_over(work_dir, training, lines, helpers):
    made = work_dir().start("20260131_120000", lines(training([10])), ITERATIONS)
    console = made.folder / "train.out"
    console.write_text("Traceback (most recent call last):\nOSError: disk\n" + helpers["log"])
    assert read_run(made.folder).state.name == "running"
    console.write_text(console.read_text() + "torch.OutOfMemoryError: CUDA out of memory\n")
    state = read_run(made.folder).state
    assert (state.name, state.error) == ("failed", ["torch.OutOfMemoryError: CUDA out of memory"])


def test_a_run_that_failed_and_was_finished_is_finished(detector):
    (detector.folder / "train.out").write_text("error: there is no weight\n")
    assert read_run(detector.folder).state.name == "finished"


def test_the_log_tells_of_the_end_where_old_checkpoints_are_removed(detector, helpers):
    (detector.folder / "epoch_2.pth").unlink()
    assert read_run(detector.folder).state.name == "running"
    log = next(detector.folder.glob("*/*.log"))
    log.write_text(helpers["log"] + "Saving checkpoint at 1 epochs\nSaving checkpoint at 2 epochs")
    assert read_run(detector.folder).state.name == "finished"


def test_a_run_that_logged_nothing_yet(work_dir):
    made = work_dir()
    (made.folder / "20260131_120000" / "vis_data").mkdir(parents=True)
    run = read_run(made.folder)
    assert run.state.name == "not started"
    assert (run.train, run.val, run.config, run.checkpoint) == ([], [], None, None)
    assert "there is no config" in run.problems[0]


def test_figures_of_a_test(detector):
    rows = [{"class": "cat", "bbox_AP": 0.5}, {"class": "dog", "bbox_AP": float("nan")}]
    write_figures(detector.folder, Figures({"bbox_AP": 0.5}, rows), images=4, checkpoint="a.pth")
    tested = read_run(detector.folder).tested
    assert tested.figures.summary == {"bbox_AP": 0.5}
    assert tested.figures.per_class[0] == rows[0]
    assert tested.figures.per_class[1]["bbox_AP"] != tested.figures.per_class[1]["bbox_AP"]
    assert tested.about == dict(images=4, checkpoint="a.pth")


def test_a_folder_with_a_test_alone(work_dir):
    made = work_dir()
    write_figures(made.folder, Figures({"mIoU": 40.0}), images=3)
    run = read_run(made.folder)
    assert run.state.name == "evaluated"
    assert run.tested.figures.summary == {"mIoU": 40.0}


@pytest.mark.parametrize("content", ["[]", '{"metrics": 3}', '{"metr', "{}"])
def test_broken_figures_are_told(detector, content):
    (detector.folder / "metrics.json").write_text(content)
    run = read_run(detector.folder)
    assert run.tested is None
    assert "metrics.json and per_class.csv cannot be read" in run.problems[0]


def test_a_broken_config_is_told(work_dir, training, lines):
    made = work_dir().start("20260131_120000", lines(training([10])), "model = dict(")
    run = read_run(made.folder)
    assert run.config is None
    assert "could not be read without running it" in run.problems[0]
    assert steps(run.train) == [10]


def test_the_best_checkpoint_comes_before_the_newest(detector):
    for index, name in enumerate(["best_a_epoch_1.pth", "best_a_epoch_2.pth", "epoch_3.pth"]):
        (detector.folder / name).touch()
        os.utime(detector.folder / name, (index + 10, index + 10))
    assert read_run(detector.folder).checkpoint.name == "best_a_epoch_2.pth"


def test_a_checkpoint_that_a_running_run_removes(detector):
    gone = detector.folder / "best_a_epoch_1.pth"
    gone.symlink_to(detector.folder / "nowhere.pth")  # listed, and not there when looked at
    assert modified(gone) == 0
    (detector.folder / "best_a_epoch_2.pth").touch()
    assert read_run(detector.folder).checkpoint.name == "best_a_epoch_2.pth"


def test_refusals_say_what_a_run_is(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no work directory"):
        read_run(tmp_path / "missing")
    with pytest.raises(FileNotFoundError, match=r"has no run: .* vis_data/scalars.json"):
        read_run(tmp_path)


def test_runs_of_one_name_are_told_apart(tmp_path):
    for parent in ("a", "b"):
        (tmp_path / parent / "run" / "20260131_120000" / "vis_data").mkdir(parents=True)
    runs = read_runs([tmp_path / "a" / "run", tmp_path / "b" / "run"])
    assert [run.name for run in runs] == ["a/run", "b/run"]
    with pytest.raises(ValueError, match="more than once"):
        read_runs([tmp_path / "a" / "run", tmp_path / "a" / ".." / "a" / "run"])


def test_records_of_another_kind_are_counted_as_broken(tmp_path):
    file = tmp_path / "scalars.json"
    file.write_text('[1]\n{"loss": 1}\n\n{"step": 3, "loss": NaN}\n')
    records, broken = logs.read_records(file)
    assert (steps(records), broken) == ([3], 2)


def test_a_long_traceback_ends_with_its_error():
    trace = ["Traceback (most recent call last):", *["  File"] * 100, "ValueError: here", "after"]
    shown = logs.error_lines("\n".join(trace))
    assert len(shown) == logs.ERROR_LINES
    assert shown[-1] == "ValueError: here"


def test_json_of_the_log_alone_will_do(work_dir, training):
    made = work_dir()
    folder = made.folder / "20260131_120000" / "vis_data"
    folder.mkdir(parents=True)
    (folder / "20260131_120000.json").write_text(json.dumps(training([10])[0]))
    assert steps(read_run(made.folder).train) == [10]


STARTS = [[10, 20, 30, 40, 50], [50, 60, 70], [80], [90, 100]]  # saved at 40, 70, 80


@pytest.mark.parametrize("hours", list(itertools.permutations((11, 12, 13, 14))))
def test_a_clock_that_was_set_back_changes_nothing(work_dir, training, lines, hours):
    made = work_dir()
    for number, (hour, own) in enumerate(zip(hours, STARTS, strict=True)):
        made.start(f"20260131_{hour}0000", lines(training(own, float(number))), ITERATIONS)
    run = read_run(made.folder)
    assert [(record["step"], record["loss"]) for record in run.train] == [
        *((step, 0.0) for step in (10, 20, 30, 40)),
        *((step, 1.0) for step in (50, 60, 70)),
        (80, 2.0),
        *((step, 3.0) for step in (90, 100)),
    ]
    assert run.state.name == "finished"
    assert [start.hour for start in run.starts] == list(hours)


def test_a_run_that_goes_on_from_another_folder_stays_before_a_new_one(work_dir, training, lines):
    made = work_dir()
    made.start("20260131_120000", lines(training([90, 100])), ITERATIONS)
    made.start("20260131_130000", lines(training([10, 20])), ITERATIONS)
    assert steps(read_run(made.folder).train) == [10, 20]


def test_files_from_the_future_are_not_of_a_run_that_goes_on(work_dir, training, lines):
    made = work_dir().start("20260131_120000", lines(training([10])), ITERATIONS)
    age(made.folder, -86_400)
    assert read_run(made.folder).state.name == "stopped"


def test_the_newest_checkpoint_is_that_of_the_last_step(detector):
    for index, name in enumerate(["epoch_10.pth", "epoch_9.pth", "epoch_1.pth"]):
        (detector.folder / name).touch()
        os.utime(detector.folder / name, (index + 10, index + 10))
    assert read_run(detector.folder).checkpoint.name == "epoch_10.pth"
