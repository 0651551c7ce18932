"""tools/data.py, its exit status and its files."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convnext_dense.cli.main import parse_args

pytestmark = pytest.mark.slow


@pytest.fixture
def spoilt(shapes, tmp_path):
    """The shapes, with a box that leaves its image. Their validation lacks circles."""

    def copy(missing):
        root = tmp_path / "spoilt"
        shutil.copytree(shapes, root)
        file = root / "annotations" / "instances_train.json"
        content = json.loads(file.read_text())
        content["annotations"][0] |= dict(
            bbox=[90, 90, 20, 20], segmentation=[[90, 90, 110, 90, 110, 110, 90, 110]]
        )
        file.write_text(json.dumps(content))
        if missing:
            (root / "train" / "000003.jpg").unlink()
            (root / "train" / "000004.jpg").unlink()
        return root

    return copy


def argv(cli, kind, command, *args):
    return [command, str(cli.config[kind]), *cli.flags[kind], *map(str, args)]


@pytest.mark.parametrize("kind", ["det", "seg"])
@pytest.mark.parametrize("fast", [False, True])
def test_good_data(cli, kind, fast):
    flags = ["--fast"] if fast else []
    status, out, err = cli.call("data", argv(cli, kind, "check", *flags))
    assert (status, "error:" in err) == (0, False)
    assert "0 errors" in out
    assert f"train: 6 images found, {cli.flags[kind][1]}/annotations/" in out
    assert ("only the headers of pictures and label maps were read" in out) is fast
    table = {"det": "circle", "seg": "disc"}[kind] in out
    assert table is not (fast and kind == "seg")


def test_errors_fail_and_are_written(cli, spoilt):
    root = spoilt(missing=True)
    arguments = argv(cli, "det", "check", "--data-root", root, "--json", "found/data.json")
    status, out, err = cli.call("data", [*arguments, "--max-examples", "1"])
    assert status == 1
    assert "error: 1 error, 2 warnings: training would fail or be wrong" in err.splitlines()
    assert "images missing, of 6" in out
    assert "000003.jpg" in out.replace("\n", "") and "000004.jpg" not in out
    content = json.loads(Path("found/data.json").read_text())
    assert content["config"] == str(cli.config["det"]) and content["fast"] is False
    missing, beyond = content["findings"][:2]
    assert (missing["level"], missing["where"], missing["count"]) == ("error", "train", 2)
    assert missing["places"] == [f"{root}/train/00000{i}.jpg" for i in (3, 4)]
    assert (beyond["level"], beyond["count"]) == ("warning", 1)
    train, val = content["datasets"]
    assert (train["where"], train["images"], val["where"]) == ("train", 4, "val, test")
    truth = json.loads((root / "annotations" / "instances_val.json").read_text())["annotations"]
    assert sum(row["objects"] + row["crowds"] for row in val["rows"]) == len(truth)


def test_warnings_fail_where_strict(cli, spoilt):
    arguments = argv(cli, "det", "check", "--data-root", spoilt(missing=False))
    status, out, _ = cli.call("data", arguments)
    assert status == 0
    assert out.splitlines()[-1] == "0 errors, 2 warnings"
    message = cli.refused("data", [*arguments, "--strict"])
    assert message == "0 errors, 2 warnings, and --strict fails on them"


@pytest.mark.parametrize(
    ("command", "flags", "message"),
    [
        ("check", ["--max-examples", -1], "--max-examples is at least 0, got -1"),
        ("check", ["--workers", -1], "--workers is at least 0, got -1"),
        ("show", ["-n", 0], "-n is at least 1, got 0"),
        ("show", ["--data-root", "no/data"], "data root no/data (train_dataloader.dataset"),
    ],
)
def test_silly_values(cli, command, flags, message):
    given = argv(cli, "seg", command, *flags)
    assert message in cli.refused("data", given)


@pytest.mark.parametrize("command", ["check", "show"])
def test_missing_config(cli, command):
    assert "there is no config 'no.py'" in cli.refused("data", [command, "no.py"])


@pytest.mark.parametrize("command", [[], ["check"], ["show"]])
def test_help_has_an_example(cli, command, capsys):
    with pytest.raises(SystemExit):
        parse_args("data", [*command, "--help"])
    assert f"tools/data.py {' '.join(command)}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "flags"),
    [("check", ["--batch-size", "--launcher", "--work-dir"]), ("show", ["--launcher"])],
)
@pytest.mark.parametrize("tool", ["train", "test"])
def test_no_flags_that_mean_nothing_here(cli, command, flags, tool, capsys):
    def known(name, argv):
        with pytest.raises(SystemExit):
            parse_args(name, [*argv, "--help"])
        return set(re.findall(r"--[\w-]+", capsys.readouterr().out.partition("example:")[0]))

    ours, theirs = known("data", [command]), known(tool, [])
    assert ours.isdisjoint(flags) and theirs.issuperset(flags)
    shared = {"--data-root", "--classes", "--img-size", "--ann-train", "--ann-val", "--box-only"}
    assert ours & theirs >= shared | {"--backbone", "--cfg-options"}


def test_the_package_of_the_old_backbone_is_not_needed(cli):
    config = "mmseg::convnext/convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512.py"
    argv = ["check", config, "--data-root", "nowhere", "--fast", "--backbone", "same"]
    status, out, err = cli.call("data", argv)
    assert status == 1
    assert "mmpretrain" not in err
    assert "nowhere" in out + err


@pytest.mark.parametrize(("kind", "split"), [("det", "train"), ("seg", "val")])
def test_samples_are_drawn(cli, kind, split):
    options = ["--split", split, "-n", 4, "-o", "grids/grid.png", "--cfg-options"]
    status, out, err = cli.call("data", [*argv(cli, kind, "show", *options), *cli.options[kind]])
    assert status == 0, err
    number = {"det": 4, "seg": 3}[kind]
    assert f"{number} samples of {split} in grids/grid.png" in out
    grid = np.array(Image.open("grids/grid.png"))
    assert grid.shape[1] > 2 * 480
    assert len(np.unique(grid.reshape(-1, grid.shape[2]), axis=0)) > 100


def test_samples_lie_in_the_work_dir_by_default(cli):
    status, out, _ = cli.call("data", argv(cli, "det", "show", "-n", 1, "--work-dir", "w"))
    assert status == 0
    assert "1 sample of train in w/samples.png" in out
    assert Path("w/samples.png").is_file()
