"""mmdet's and mmseg's own tools train, test and resume a config of ours.

A config's ``custom_imports`` is all that they need; mmdet's ``tools/test.py`` also needs
``import convnext_dense`` first where mmcv is lite, since it imports ``mmcv.ops`` before the config.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

FEW = ["train_dataloader.num_workers=0", "default_hooks.logger.interval=1"]
# Saves seconds at each run.
PLAIN_TEXTS = "import mmengine.config.config as c; c.FormatCode = lambda text, **_: (text, True)"


def run(package, tool, *args, first=""):
    """Run a tool of mmdet's or mmseg's as it is in their wheels, after a statement."""
    path = Path(find_spec(package).origin).parent / ".mim" / "tools" / tool
    if not path.is_file():
        pytest.skip(f"{package} is installed without its tools")
    code = (
        f"import runpy, sys\n{PLAIN_TEXTS}\n{first}\n"
        f"sys.argv[0] = {str(path)!r}\nrunpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def figures(work_dir):
    """The figures of the last run that evaluated in a folder."""
    last = max(Path(work_dir).glob("*/*.json"), key=lambda path: path.stat().st_mtime)
    return json.loads(last.read_text().splitlines()[-1])


def test_mmdets_tools(cli, trained):
    (config,) = trained["det"].glob("mask_rcnn_convnext_t_coco.py")
    assert "_base_" not in config.read_text()
    args = config, "--work-dir", "w"
    options = "--cfg-options", *FEW
    run("mmdet", "train.py", *args, *options, "train_cfg.max_epochs=1")
    saved = cli.load("w/epoch_1.pth")
    assert saved["meta"]["convnext_dense"]["backbone"] == "ConvNeXt"

    said = run("mmdet", "train.py", *args, "--resume", *options, "train_cfg.max_epochs=2")
    assert "resumed epoch: 1" in said
    resumed = cli.load("w/epoch_2.pth")
    assert resumed["meta"]["iter"] == 2 * saved["meta"]["iter"]
    assert cli.differing_weights("w/epoch_1.pth", "w/epoch_2.pth")

    run(
        "mmdet",
        "test.py",
        config,
        "w/epoch_2.pth",
        "--work-dir",
        "t",
        first="import convnext_dense",
    )
    assert "coco/bbox_mAP" in figures("t")


def test_a_run_of_ours_goes_on_in_mmdets_tool_after_an_import(cli, trained):
    shutil.copytree(trained["det"], "w")
    (config,) = Path("w").glob("mask_rcnn_convnext_t_coco.py")
    options = "--cfg-options", *FEW, "train_cfg.max_epochs=4"
    args = config, "--work-dir", "w", "--resume", "w/epoch_3.pth", *options
    assert "resumed epoch: 3" in run("mmdet", "train.py", *args, first="import convnext_dense")
    assert cli.load("w/epoch_4.pth")["meta"]["epoch"] == 4


def test_a_run_of_ours_goes_on_in_mmsegs_tools(cli, trained):
    shutil.copytree(trained["seg"], "w")
    Path("w/last_checkpoint").write_text("w/iter_6.pth")  # mmengine takes the recorded path
    (config,) = Path("w").glob("upernet_convnext_t_ade20k.py")
    args = config, "--work-dir", "w", "--resume", "--cfg-options", *FEW, "train_cfg.max_iters=8"
    assert "resumed epoch: 0, iter: 6" in run("mmseg", "train.py", *args)
    assert cli.load("w/iter_8.pth")["meta"]["iter"] == 8

    run("mmseg", "test.py", config, "w/iter_8.pth", "--work-dir", "t")
    assert "mIoU" in figures("t")
