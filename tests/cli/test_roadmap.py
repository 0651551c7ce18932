"""tools/roadmap.py: the table, the figure, and trainings of steps. None looks at a time."""

from __future__ import annotations

import re

import pytest

from convnext_dense.backbone.roadmap import STEPS
from convnext_dense.cli import roadmap as command
from convnext_dense.config.options import RunOptions
from convnext_dense.roadmap import ablation
from convnext_dense.roadmap.results import Reached
from convnext_dense.zoo.roadmap import ROADMAP

pytestmark = pytest.mark.slow

CONFIG = "configs/det/mask_rcnn_convnext_t_coco.py"


@pytest.fixture
def call(cli):
    """Run the tool; give what it printed."""

    def run(*argv: object) -> str:
        status, out, err = cli.call("roadmap", list(map(str, argv)))
        assert status == 0, err
        return out

    return run


def test_prints_and_draws_every_step(call, tmp_path):
    out = call("--rounds", 0, "--regime", "base", "--plot", tmp_path / "figure.png")
    for step, published in ROADMAP["base"].items():
        row = next(line for line in out.splitlines() if line.split()[:1] == [step])
        assert f"{published.gflops:.2f}" in row and f"{published.top1:.2f}" in row
    assert "images/s" not in out
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_measures_the_steps_that_are_asked_for(call):
    out = call("--steps", "gelu", "depthwise_conv", "--rounds", 2, "--device", "cpu")
    assert re.search(r"images/s: 1x3x224x224, fp32, .*thread", out)
    words = [line.split()[0] for line in out.splitlines() if line.strip()]
    assert [word for word in words if word in STEPS] == ["depthwise_conv", "gelu"]
    assert len(re.findall(r"[\d.]+ \([\d.]+-[\d.]+\)", out)) == 2


def test_trains_with_the_flags_of_training(call, monkeypatch, tmp_path):
    asked = {}

    def train_steps(options, steps, seeds, regime, metric, tell, train_one):
        asked.update(options=options, steps=steps, seeds=seeds, regime=regime)

    found = [Reached("resnet", (0.1, 0.3)), Reached("gelu", (0.4,))]
    monkeypatch.setattr(ablation, "train_steps", train_steps)
    monkeypatch.setattr(
        "convnext_dense.roadmap.results.read_results", lambda *_: ("coco/bbox_mAP", found)
    )
    data = ["--data-root", "D", "--classes", "a,b", "--batch-size", 2, "--lr", 0.001]
    out = call(
        *("run", CONFIG, "--steps", "gelu", "resnet", "--seeds", 2, "--iters", 5),
        *("--regime", "base", "--work-dir", tmp_path, "--recipe", "convnext", *data),
    )
    assert asked == dict(
        options=RunOptions(
            CONFIG,
            data_root="D",
            classes="a,b",
            batch_size=2,
            lr=0.001,
            iters=5,
            recipe="convnext",
            work_dir=str(tmp_path),
            force_keys=[],
        ),
        steps=["resnet", "gelu"],
        seeds=2,
        regime="base",
    )
    assert re.search(r"resnet .* 0\.2000 +0\.1414", out)
    assert (tmp_path / "roadmap.png").is_file()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--steps", "kernel7"], "no step 'kernel7'.*choose one of kernel_7"),
        (["--plot", "figure.gif"], "a figure is written as .png, .svg, .pdf"),
        (["--device", "gpu", "--steps", "gelu"], "--device gpu is no device"),
        (["run", CONFIG, "--steps", "gelu", "--seeds", "0"], "--seeds is at least 1, got 0"),
        (["run", CONFIG, "--steps", "nothing"], "no step 'nothing'"),
        (["run", "no_config.py", "--steps", "gelu"], "no config 'no_config.py'"),
    ],
)
def test_refuses(cli, argv, message):
    status, _, err = cli.call("roadmap", argv)
    assert status == 1
    assert re.search(message, err)
    assert len(err.splitlines()) == 1


def test_a_training_runs_in_the_console_of_the_tool(monkeypatch, capsys):
    def train(options, tell, observer):
        tell("said of `data_root`")
        observer.facts({"recipe": "r"})

    monkeypatch.setattr("convnext_dense.training.run.train", train)
    command._train_one(RunOptions(CONFIG), verbose=False)
    assert "note: said of --data-root" in capsys.readouterr().out
