"""tools/data.py and tools/train.py on a folder in the format of another tool."""

from __future__ import annotations

import pytest
from PIL import Image

pytestmark = pytest.mark.slow


@pytest.fixture
def yolo(tmp_path):
    root = tmp_path / "my set"
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    for name in "ab":
        Image.new("RGB", (64, 48)).save(root / f"images/{name}.png")
        (root / f"labels/{name}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (root / "data.yaml").write_text("train: images\nnames: [cat]\n")
    return root


@pytest.mark.parametrize("given", ["folder", "file", "root"])
def test_check_reads_it_as_it_is(cli, yolo, given):
    arguments = {
        "folder": [str(yolo)],
        "file": [str(yolo / "data.yaml")],
        "root": [str(cli.config["det"]), "--data-root", str(yolo)],
    }[given]
    status, out, err = cli.call("data", ["check", *arguments])
    assert (status, "error:" in err) == (0, False)
    assert f"{yolo}" in out and "(yolo), read as it is" in out
    assert "cat" in out and "0 errors, 0 warnings" in out


def test_check_fails_on_errors_and_names_the_line(cli, yolo):
    (yolo / "labels/a.txt").write_text("0 0.5 0.5 0.2 0.2\n0 0.5\n")
    status, out, err = cli.call("data", ["check", str(yolo)])
    assert status == 1 and "labels/a.txt, line 2" in out
    assert err.splitlines()[-1].startswith("error: 1 error, ")


def test_show_draws_it(cli, yolo, tmp_path):
    out = tmp_path / "samples.png"
    status, text, _ = cli.call("data", ["show", str(yolo), "-n", "1", "-o", str(out)])
    assert status == 0 and "1 sample of all splits" in text
    assert Image.open(out).format == "PNG"


def test_a_folder_of_two_formats(cli, yolo):
    (yolo / "all.json").write_text('{"images": [], "annotations": [], "categories": []}')
    status, _, err = cli.call("data", ["check", str(yolo)])
    assert status == 1 and err.splitlines()[-1].endswith("say which by --from")
    status, out, _ = cli.call("data", ["check", str(yolo), "--from", "yolo"])
    assert status == 0 and "(yolo)" in out
    status, _, err = cli.call("data", ["check", str(cli.config["det"]), "--from", "yolo"])
    assert status == 1 and "--from yolo is for a folder" in err


@pytest.mark.parametrize("kind", ["det", "seg"])
def test_train_says_which_command_converts_it(cli, yolo, kind):
    status, _, err = cli.call("train", [str(cli.config[kind]), "--data-root", str(yolo)])
    to = {"det": "", "seg": " --to label-maps"}[kind]
    command = f"convnext-dense data convert '{yolo}' '{yolo}_converted'{to}"
    assert status == 1 and err.splitlines()[-1].endswith(command)


def test_a_folder_of_nothing_known(cli, tmp_path):
    (tmp_path / "pictures").mkdir()
    status, _, err = cli.call("data", ["check", str(tmp_path / "pictures")])
    assert status == 1 and "looked for YOLO's data.yaml" in err
    assert len([line for line in err.splitlines() if line.startswith("error")]) == 1
