"""A training of another length, learning rate and validation interval, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

FLAGS = ("--weights", "none", "--work-dir", "w", "--seed", 0)


def entries(key: str) -> dict[int, float]:
    """Return a logged value by its step."""
    (file,) = Path("w").glob("*/vis_data/scalars.json")
    lines = map(json.loads, file.read_text().splitlines())
    return {line["step"]: line[key] for line in lines if key in line}


def test_epochs_and_a_learning_rate(cli):
    """The recipe's milestones 27 and 33 of 36 epochs, in an epoch of 3 iterations."""
    cli.train(
        "det", *FLAGS, "--epochs", 2, "--lr", 0.01, "--batch-size", 2, options=cli.short_run["det"]
    )
    assert Path("w/epoch_2.pth").is_file() and not Path("w/epoch_3.pth").exists()
    rates = entries("base_lr")
    assert sorted(rates) == [1, 2, 3, 4, 5, 6]
    assert [rates[step] for step in (4, 5, 6)] == pytest.approx([1e-2, 1e-3, 1e-4])


def test_iterations_of_a_detector(cli):
    cli.train("det", *FLAGS, "--iters", 5, "--val-every", 2, options=cli.short_run["det"])
    assert Path("w/iter_5.pth").is_file()
    assert sorted(entries("loss")) == [1, 2, 3, 4, 5]
    assert sorted(entries("coco/bbox_mAP")) == [2, 4, 5]


def test_epochs_of_a_segmenter_are_those_of_its_data(cli):
    cli.train(
        "seg", *FLAGS, "--epochs", 2, "--batch-size", 2, options="default_hooks.logger.interval=1"
    )
    assert sorted(entries("loss")) == [1, 2, 3, 4, 5, 6]
    assert sorted(entries("mIoU")) == [3, 6]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--epochs", 0], "--epochs is at least 1, got 0"),
        (["--iters", -3], "--iters is at least 1, got -3"),
        (["--epochs", 1, "--iters", 2], "--epochs 1 and --iters 2 are two lengths: give one"),
        (["--lr", 0], "--lr is a finite number above 0, got 0.0"),
        (["--lr", "nan"], "--lr is a finite number, got nan"),
    ],
)
def test_refused_on_the_command_line(cli, flags, message):
    assert cli.refused("train", cli.argv("det", *flags)) == message


def test_half_an_epoch_is_refused(cli, capsys):
    with pytest.raises(SystemExit):
        cli.load_tool("train").main(cli.argv("det", "--epochs", "1.5"))
    assert "argument --epochs: invalid int value: '1.5'" in capsys.readouterr().err
