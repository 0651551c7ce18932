"""tools/data.py convert: what it prints, and that the printed command trains."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convnext_dense.cli.convert import parse_names, parse_renames

from ..data.convert.writers import WRITERS, write_as

pytestmark = pytest.mark.slow


@pytest.fixture
def yolo(tmp_path, monkeypatch) -> Path:
    """Ten pictures with two classes, and a line that is wrong."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    root = tmp_path / "my yolo"
    for i in range(10):
        picture = rng.integers(0, 255, (64, 96, 3), np.uint8)
        (root / "images").mkdir(parents=True, exist_ok=True)
        (root / "labels").mkdir(exist_ok=True)
        Image.fromarray(picture).save(root / "images" / f"v{i // 2}_{i}.png")
        lines = [f"{c} 0.2 0.2 0.7 0.{3 + c} 0.5 0.8" for c in (i % 2, 1)]
        lines += ["0 0.5 0.5"] if i == 3 else []
        (root / "labels" / f"v{i // 2}_{i}.txt").write_text("\n".join(lines))
    (root / "data.yaml").write_text("path: .\ntrain: images\nnames: [cat, big dog]\n")
    return root


def convert(cli, *args) -> list[str]:
    status, out, err = cli.call("data", ["convert", *map(str, args)])
    assert (status, "error:" in err) == (0, False)
    return out.splitlines()


def printed_command(lines) -> list[str]:
    (line,) = [line for line in lines if line.startswith("next")]
    return shlex.split(line.removeprefix("next"))


def test_what_is_printed(cli, yolo):
    lines = convert(cli, "my yolo", "out", "--split", "60/20/20", "--group-by", r"^(v\d+)")
    assert "source       my yolo (yolo, found)" in lines
    assert "note: --group-by makes 5 groups of 10 pictures" in lines
    assert any(line.split() == ["class", "(objects)", "train", "val", "test"] for line in lines)
    assert any(line.split() == ["big", "dog", "9", "3", "3"] for line in lines)
    assert any(line.split() == ["(pictures)", "6", "2", "2"] for line in lines)
    (error,) = [line for line in lines if line.startswith("error")]
    assert "labels/v1_3.txt, line 3" in error and "(1 object left out)" in error
    assert "read         10 pictures, 21 objects" in lines
    assert "written      10 pictures, 20 objects, out, checked" in lines
    assert printed_command(lines) == [
        *("python", "tools/train.py", "mask_rcnn_convnext_t_coco"),
        *("--data-root", "out", "--classes", "cat,big dog"),
        *("--ann-train", "annotations/instances_train.json"),
        *("--ann-val", "annotations/instances_val.json", "--auto-scale-lr"),
    ]


def test_the_printed_command_trains_and_the_check_passes(cli, yolo):
    lines = convert(cli, "my yolo", "out", "--split", "60/40")
    _, _, recipe, *flags = printed_command(lines)
    status, out, _ = cli.call("data", ["check", recipe, *flags[:-1]])
    assert (status, out.splitlines()[-1].split(",")[0]) == (0, "0 errors")
    more = [
        "--weights",
        "none",
        "--img-size",
        "64",
        "--iters",
        "2",
        "--batch-size",
        "2",
        "--cfg-options",
    ]
    options = [
        *cli.options["det"],
        "train_dataloader.num_workers=0",
        "val_dataloader.num_workers=0",
    ]
    options += ["val_dataloader.persistent_workers=False"]
    status, out, err = cli.call("train", [recipe, *flags, *more, *options])
    assert (status, "error:" in err) == (0, False)
    assert "iteration 2" in out


def test_label_maps_train_too(cli, ade, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = convert(cli, ade, "out", "--classes", "left,right,disc", "--rename", "disc=circle")
    _, _, recipe, *flags = printed_command(lines)
    assert flags[:4] == ["--data-root", "out", "--classes", "left,right,circle"]
    status, out, _ = cli.call("data", ["check", recipe, *flags[:-1]])
    assert status == 0 and "train: 6 images found" in out and "val, test: 3 images" in out


def test_merging_by_flags(cli, yolo):
    lines = convert(cli, "my yolo", "out", "--rename", "big dog=dog,cat=pet", "--drop", "dog")
    assert "--classes pet" in lines[-1]
    lines = convert(cli, "my yolo", "both", "--rename", "big dog=cat", "--from", "yolo", "--copy")
    assert "--classes cat " in lines[-1]
    assert "source       my yolo (yolo)" in lines
    assert not any(path.is_symlink() for path in Path("both/train").iterdir())


def test_a_rerun_adds_no_duplicate(cli, yolo):
    convert(cli, "my yolo", "out")
    before = json.loads(Path("out/annotations/instances_train.json").read_text())
    lines = convert(cli, "my yolo", "out")
    assert "written      10 pictures, 20 objects, out, checked" in lines
    assert "note: out is an earlier result, to which this is added" in lines
    assert json.loads(Path("out/annotations/instances_train.json").read_text()) == before


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["none", "out"], "none does not exist"),
        (["my yolo", "out", "--from", "yollo"], "--from yollo is not one of yolo, "),
        (["my yolo", "out", "--split", "90"], "--split 90: give the shares"),
        (["my yolo", "out", "--to", "coco"], "--to coco is not one of"),
        (["my yolo", "out", "--rename", "dog"], "--rename takes A=B, got 'dog'"),
        (["my yolo", "out", "--rename", "a=b,a=c"], "--rename gives 'a' two names"),
        (
            ["my yolo", "out", "--rename", "dig dog=x"],
            "there is no class 'dig dog'; the classes are big dog",
        ),
        (
            ["my yolo", "out", "--drop", "cta"],
            "--drop: there is no class 'cta'; the classes are cat",
        ),
        (["my yolo", "out", "--group-by", "("], "--group-by '(' is no regular expression"),
        (["my yolo", "out", "--colours", "no.csv"], "--colours no.csv: no source has masks"),
        (["my yolo", "out", "--seed", "-1"], "--seed is at least 0"),
        (["my yolo", "my yolo/out"], "is inside of the source"),
        (["my yolo", "mine"], "mine holds files that are not a converted data set"),
        (["my yolo", "mine/notes.txt"], "not a converted data set"),
        (["my yolo", "mine/notes.txt/out"], "mine/notes.txt is a file, not a folder"),
        (["mine", "out"], "mine (0 pictures) is in no known format: looked for"),
    ],
)
def test_bad_input_is_one_line(cli, yolo, args, said):
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("mine")
    message = cli.refused("data", ["convert", *args])
    assert said in message
    assert sorted(path.name for path in Path().iterdir()) == ["mine", "my yolo"]


def test_a_training_on_the_source_names_the_command(cli, yolo):
    flags = ["--data-root", "my yolo", "--classes", "cat,dog"]
    for more in ([], ["--ann-train", "annotations/instances_train.json"]):
        message = cli.refused("train", ["mask_rcnn_convnext_t_coco", *flags, *more])
        command = message.partition("make it ready by ")[2]
        assert command.startswith("convnext-dense data convert 'my yolo' 'my yolo_converted'")
    convert(cli, "my yolo", "my yolo_converted")


def test_names_with_commas_or_several_times():
    assert parse_names(["a, b", "c", ","]) == ["a", "b", "c"]
    assert parse_renames(["a=b, c = d", "e=b"]) == {"a": "b", "c": "d", "e": "b"}


@pytest.mark.long
@pytest.mark.parametrize("format", WRITERS)
def test_droplets_of_every_format_train_by_the_printed_command(
    cli, shared_data, tmp_path, monkeypatch, format
):
    monkeypatch.chdir(tmp_path)
    write_as(format, shared_data / "droplets", tmp_path / "src")
    lines = convert(cli, "src", "out")
    assert any(line.startswith("written      72 pictures, 1241 objects") for line in lines)
    _, _, recipe, *flags = printed_command(lines)
    assert ("--box-only" in flags) is (format == "voc")
    more = "--weights none --backbone atto --img-size 128 --iters 3 --batch-size 2 --limit 4"
    status, out, err = cli.call("train", [recipe, *flags, *more.split(), "--workers", "0"])
    assert (status, "error:" in err) == (0, False)
    assert "iteration 3" in out
