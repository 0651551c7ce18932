"""Trainings of steps one after the other: what is repeated, resumed, compared and refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from convnext_dense.config.options import RunOptions
from convnext_dense.roadmap import ablation
from convnext_dense.roadmap.ablation import train_steps
from convnext_dense.roadmap.comparison import as_table, draw_comparison
from convnext_dense.roadmap.results import Reached, find_metric, folder_of, read_results

pytestmark = pytest.mark.slow

CONFIG = "configs/seg/upernet_convnext_t_ade20k.py"
# Stands for `convnext_dense.training.run.train` in the processes, which import it by this name.
FAKE = """
import json, os, time
from pathlib import Path

def write(options, figures):
    out = Path(options.work_dir, "20260101_000000", "vis_data")
    out.mkdir(parents=True, exist_ok=True)
    records = [dict(step=1, iter=1, loss=1.0), dict(step=2, **figures)]
    (out / "scalars.json").write_text("".join(json.dumps(one) + "\\n" for one in records))

def train(options):
    with open(os.environ["CALLS"], "a") as calls:
        calls.write(f"{options.backbone} {options.seed} {options.resume}\\n")
    write(options, dict(mIoU=10.0 * len(options.backbone) + options.seed, aAcc=1.0))

def train_without_validation(options):
    write(options, {})

def fail(options):
    raise ValueError("the data is wrong")

def die(options):
    os._exit(9)

def wait(options):
    train(options)
    time.sleep(600)
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    folder = tmp_path / "fake"
    folder.mkdir()
    (folder / "fake_training.py").write_text(FAKE)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    import fake_training

    yield fake_training
    del sys.modules["fake_training"]


@pytest.fixture
def in_this_process(monkeypatch):
    """Train without processes, which take seconds to start."""
    monkeypatch.setattr(ablation, "_train_apart", lambda train_one, options, _: train_one(options))


def calls(tmp_path):
    return (tmp_path / "calls").read_text().splitlines()


def test_trains_each_step_and_seed_once(tmp_path, fake, in_this_process):
    work, said = str(tmp_path / "work"), []
    options = RunOptions(CONFIG, work_dir=work, iters=2)
    train_steps(options, ["resnet"], 1, tell=said.append, train_one=fake.train)
    train_steps(options, ["resnet", "gelu"], 2, tell=said.append, train_one=fake.train)
    assert calls(tmp_path) == [
        "roadmap:resnet 0 auto",
        "roadmap:gelu 0 auto",
        "roadmap:resnet 1 auto",
        "roadmap:gelu 1 auto",
    ]
    assert "[1/4] roadmap:resnet, seed 0: has ended before" in said
    metric, reached = read_results(work, ["resnet", "kernel_5", "gelu"])
    assert metric == "mIoU"
    assert reached == [Reached("resnet", (140.0, 141.0)), Reached("gelu", (120.0, 121.0))]
    assert reached[0].mean == 140.5
    assert reached[0].deviation == pytest.approx(0.5**0.5)
    assert read_results(work, ["gelu"], "aAcc") == ("aAcc", [Reached("gelu", (1.0, 1.0))])


def test_other_options_need_another_folder(tmp_path, fake, in_this_process):
    options = RunOptions(CONFIG, work_dir=str(tmp_path / "work"), iters=2)
    train_steps(options, ["resnet"], 1, tell=str, train_one=fake.train)
    for changed in (dict(iters=3), dict(iters=2, batch_size=4), {}):
        other = RunOptions(CONFIG, work_dir=options.work_dir, **changed)
        with pytest.raises(ValueError, match=r"holds trainings with `.*another `work_dir`"):
            train_steps(other, ["resnet"], 1, tell=str, train_one=fake.train)
    with pytest.raises(ValueError, match=r"regime='tiny'.*regime='base'"):
        train_steps(options, ["resnet"], 1, "base", tell=str, train_one=fake.train)


def test_a_training_that_failed_is_named_and_trained_again(tmp_path, fake, monkeypatch):
    options = RunOptions(CONFIG, work_dir=str(tmp_path / "work"))
    wrong = {
        "fail": r"^\[1/1\] roadmap:gelu, seed 0: the data is wrong$",
        "die": "roadmap:gelu, seed 0: its process has ended with status 9",
    }
    for name, message in wrong.items():
        with pytest.raises(RuntimeError, match=message):
            train_steps(options, ["gelu"], 1, tell=str, train_one=getattr(fake, name))
    monkeypatch.setattr(ablation, "_train_apart", lambda train_one, options, _: train_one(options))
    with pytest.raises(RuntimeError, match="seed_0 has no validation"):
        train_steps(options, ["gelu"], 1, tell=str, train_one=fake.train_without_validation)
    train_steps(options, ["gelu"], 1, tell=str, train_one=fake.train)
    assert len(calls(tmp_path)) == 1


def test_a_signal_ends_the_training_too(tmp_path, fake):
    program = textwrap.dedent(f"""
        import sys
        from fake_training import wait
        from convnext_dense.config.options import RunOptions
        from convnext_dense.roadmap import ablation
        if __name__ == "__main__":
            ablation.GRACE = 0.1
            options = RunOptions({CONFIG!r}, work_dir={str(tmp_path / "work")!r})
            ablation.train_steps(options, ["gelu"], 1, train_one=wait)
    """)
    (tmp_path / "program.py").write_text(program)
    path = os.pathsep.join([str(Path(fake.__file__).parent), *filter(None, sys.path)])
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "program.py")],
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "calls").exists() and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "interrupted in [1/1] roadmap:gelu, seed 0; the same command resumes" in error
    assert not (folder_of(tmp_path / "work", "gelu", 0) / "result.json").exists()


def test_wrong_options(tmp_path, fake):
    config = tmp_path / "no_validation.py"
    config.write_text("model = dict(backbone=dict(type='ConvNeXt'))\n")
    wrong = [
        (dict(steps=["kernel7"]), "no step 'kernel7'.*choose one of kernel_7"),
        (dict(steps=[]), "`steps` names no step"),
        (dict(seeds=0), "`seeds=0` is at least 1"),
        (dict(regime="large"), "regime is tiny"),
        (dict(options=RunOptions(CONFIG)), "`work_dir`"),
        (dict(options=RunOptions(str(config), work_dir="x")), "no val_dataloader"),
    ]
    usual = dict(
        options=RunOptions(CONFIG, work_dir=str(tmp_path / "work")), steps=["gelu"], seeds=1
    )
    for arguments, message in wrong:
        with pytest.raises(ValueError, match=message):
            train_steps(**{**usual, **arguments}, tell=str, train_one=fake.fail)


def test_a_missing_metric_lists_those_there_are(tmp_path, fake, in_this_process):
    options = RunOptions(CONFIG, work_dir=str(tmp_path / "work"))
    train_steps(options, ["gelu"], 1, tell=str, train_one=fake.train)
    message = "no figure `metric='mIou'`; they have mIoU, aAcc"
    with pytest.raises(ValueError, match=message):
        read_results(options.work_dir, ["gelu"], "mIou")
    with pytest.raises(ValueError, match=message):  # already after the first of two
        train_steps(options, ["resnet", "gelu"], 2, metric="mIou", train_one=fake.train)
    assert len(calls(tmp_path)) == 2
    (folder_of(options.work_dir, "gelu", 0) / "result.json").write_text("{")
    with pytest.raises(ValueError, match=r"result.json is damaged .*: remove it"):
        read_results(options.work_dir, ["gelu"])


def test_finds_the_main_figure():
    assert find_metric(["coco/segm_mAP", "coco/bbox_mAP_50", "coco/bbox_mAP"], None).endswith(
        "bbox_mAP"
    )
    assert find_metric(["own"], None) == "own"
    with pytest.raises(ValueError, match="none at all"):
        find_metric([], None)


def test_table_and_figure(tmp_path):
    from rich.console import Console

    reached = [Reached("resnet", (0.25, 0.75)), Reached("gelu", (0.75,))]
    console = Console(width=200, record=True, file=(tmp_path / "out").open("w"))
    console.print(as_table("mIoU", reached, "tiny"))
    lines = [line.split() for line in console.export_text().splitlines() if line.strip()]
    assert ["resnet", "25.6", "4.09", "2", "0.5000", "0.3536", "78.82", "±", "0.07"] in lines
    assert ["gelu", "25.9", "4.15", "1", "0.7500", "+0.2500", "80.62", "±", "0.14"] in lines
    draw_comparison(tmp_path / "figure.svg", "mIoU", reached, "tiny")
    drawn = (tmp_path / "figure.svg").read_text()
    assert drawn.startswith("<?xml")
    draw_comparison(tmp_path / "one.png", "mIoU", reached[1:], "tiny")  # of no width at all
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")


def test_settings_are_read_back_as_they_are_compared(tmp_path, fake, in_this_process):
    options = RunOptions(
        CONFIG, work_dir=str(tmp_path / "work"), classes=("a", "b"), cfg_options={"x.y": (1, 2)}
    )
    for _ in range(2):
        train_steps(options, ["gelu"], 1, tell=str, train_one=fake.train)
    kept = json.loads((tmp_path / "work" / "roadmap.json").read_text())
    assert kept == dict(
        config=CONFIG, regime="tiny", classes=["a", "b"], cfg_options={"x.y": [1, 2]}
    )
