"""A run that was stopped goes on as if it had not been."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TRAIN = Path(__file__).parents[2] / "tools" / "train.py"
SECONDS = 120


@pytest.mark.parametrize(
    ("kind", "middle", "last"),
    [("det", "epoch_2.pth", "epoch_3.pth"), ("seg", "iter_4.pth", "iter_6.pth")],
)
def test_continues_to_the_weights_of_an_uninterrupted_run(cli, trained, kind, middle, last):
    cli.train(
        kind,
        *("--resume", trained[kind] / middle, "--weights", "none", "--work-dir", "w"),
        options=cli.short_run[kind],
        workers=True,
    )
    assert not cli.differing_weights(f"w/{last}", trained[kind] / last)


def test_sigterm_leaves_a_checkpoint_and_says_how_to_go_on(cli):
    argv = cli.argv(
        "seg",
        *("--weights", "none", "--work-dir", "w"),
        options="default_hooks.checkpoint.interval=2",
    )
    process = subprocess.Popen(
        [sys.executable, str(TRAIN), *argv],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    end = time.monotonic() + SECONDS
    while not Path("w/last_checkpoint").is_file() and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, err
    assert "Traceback" not in err

    message = err.splitlines()[-1]
    # last_checkpoint may still name the one before, where the signal came between the two.
    last = max(Path("w").glob("iter_*.pth"), key=lambda path: int(path.stem.removeprefix("iter_")))
    assert message.startswith(f"interrupted; {last} is whole. Go on with: python ")
    command = shlex.split(message.partition("Go on with: python ")[2])
    assert command == [str(TRAIN), *argv, "--resume"]

    iteration = cli.load(last)["meta"]["iter"]
    argv = [*command[1:-1], f"train_cfg.max_iters={iteration + 1}", "--resume"]
    status, out, err = cli.call("train", argv)
    assert status == 0, err
    assert f"weights      {last}, resumed\n" in out
    assert f"resumed epoch: 0, iter: {iteration}" in cli.log("w")


@pytest.mark.parametrize(
    ("flags", "options", "complaint"),
    [
        ("--weights none", "model.backbone.arch.depths=1,1,2,1", "was trained with arch 'Arch("),
        ("--weights {other}", "", "was trained with weights 'none'; this run asks for 'other.pth'"),
        ("", "", "asks for 'convnext_tiny_1k_224.pth'"),
    ],
)
def test_refuses_to_go_on_as_another_run(cli, trained, tmp_path, flags, options, complaint):
    other = tmp_path / "other.pth"
    other.touch()
    flags = [flag.format(other=other) for flag in flags.split()]
    (config,) = trained["seg"].glob("upernet*.py")
    before = config.read_text()
    refused = cli.refused(
        "train",
        cli.argv(
            "seg",
            *("--resume", "--work-dir", trained["seg"], *flags),
            options=cli.short_run["seg"] + options,
        ),
    )
    assert complaint in refused
    assert "--work-dir" in refused
    assert config.read_text() == before


def test_nothing_to_resume_yet_starts_from_the_beginning(cli):
    flags = ["--weights", "none", "--work-dir", "new"]
    said = cli.train("seg", *flags, "--resume", options="train_cfg.max_iters=1")
    assert "note: --resume: no checkpoint in new yet, starting from the beginning" in said
    assert cli.load("new/iter_1.pth")["meta"]["iter"] == 1


def test_a_copied_work_directory_goes_on_by_itself(cli, trained, tmp_path):
    original, copy = trained["seg"], tmp_path / "copy"
    shutil.copytree(original, copy)
    assert str(original) in (copy / "last_checkpoint").read_text()
    before = {path: path.stat().st_mtime_ns for path in original.rglob("*")}
    os.truncate(copy / "iter_6.pth", 1000)
    said = cli.train(
        "seg",
        *("--resume", "--weights", "none", "--work-dir", copy),
        options=cli.short_run["seg"],
        workers=True,
    )
    assert f"iter_6.pth is truncated; get it anew. {copy / 'iter_4.pth'} is the newest" in said
    assert f"note: --resume: resuming from {copy / 'iter_4.pth'}" in said
    assert {path: path.stat().st_mtime_ns for path in original.rglob("*")} == before
    assert not cli.differing_weights(copy / "iter_6.pth", original / "iter_6.pth")
    names = [sorted(path.name for path in folder.glob("*.pth")) for folder in (original, copy)]
    assert names[0] == names[1]


def test_no_whole_checkpoint_is_an_error(cli, trained, tmp_path):
    shutil.copytree(trained["seg"], tmp_path / "w")
    for path in tmp_path.glob("w/iter_*.pth"):
        os.truncate(path, 1000)
    refused = cli.refused(
        "train", cli.argv("seg", "--resume", "--weights", "none", "--work-dir", "w")
    )
    assert refused.startswith("w holds no checkpoint that training can be resumed from: ")
    assert "iter_4.pth" in refused
    assert "iter_6.pth" in refused
