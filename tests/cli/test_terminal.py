"""What the tools print about names that a terminal would obey."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import shutil
import sys
import warnings
from pathlib import Path

import pytest
import torch
from mmengine.logging import print_log

from convnext_dense.cli.errors import run_tool
from convnext_dense.cli.output import print_text
from convnext_dense.csv_files import read_csv
from convnext_dense.data.shapes import CLASSES
from convnext_dense.text import printable

pytestmark = pytest.mark.slow

# Clears the screen, sets a title, writes from right to left, is a formula.
NAMES = ("=\x1b[2J", "\x1b]0;owned\x07", "a\u202eb\x9b31m", "x\rerror: fake", "@SUM(1)")
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028]")


@pytest.fixture(scope="module")
def hostile(shapes, tmp_path_factory) -> Path:
    """The data set of shapes, its classes and pictures under other names."""
    root = tmp_path_factory.mktemp("hostile") / "shapes"
    shutil.copytree(shapes, root)
    for split in ("train", "val"):
        file = root / f"annotations/instances_{split}.json"
        content = json.loads(file.read_text())
        for category in content["categories"]:
            category["name"] = NAMES[CLASSES.index(category["name"])]
        for image in content["images"]:
            other = f"\x1b[31m{image['file_name']}"
            (root / split / image["file_name"]).rename(root / split / other)
            image["file_name"] = other
        file.write_text(json.dumps(content))
    return root


def flags(root: Path, *more: object) -> list[object]:
    return ["--data-root", root, "--classes", ",".join(NAMES), *more]


def assert_clean(*texts: str) -> None:
    for text in texts:
        assert not RAW.findall(text), ascii(text)


def test_a_training_and_a_test(cli, hostile):
    options = cli.short_run["det"].replace("epochs=3", "epochs=1")
    argv = cli.argv("det", *flags(hostile, "--weights", "none", "--work-dir", "w"), options=options)
    status, out, err = cli.call("train", argv)
    assert (status, err) == (0, "")
    files = [file.read_text() for file in Path("w").rglob("*.log")]
    assert_clean(out, err, *files)
    more = flags(hostile, "--work-dir", "w", "--out", "w/results.json")
    status, out, err = cli.call("test", cli.argv("det", "w/epoch_1.pth", *more))
    assert (status, err) == (0, "")
    assert_clean(out, err, Path("w/per_class.csv").read_text())
    assert r"=\x1b[2J" in out
    rows = read_csv(Path("w/per_class.csv"))
    assert [row["class"] for row in rows] == [printable(name) for name in NAMES]
    lines = Path("w/per_class.csv").read_text().splitlines()
    assert [line for line in lines if line.startswith(("=", "+", "-", "@", '"='))] == []

    config = next(Path("w").glob("*.py"))
    pictures = str(hostile / "val")
    argv = [str(config), "w/epoch_1.pth", pictures, "-o", "found", "--save", "pictures,json"]
    status, out, err = cli.call("infer", argv)
    assert status == 0
    assert_clean(out, err)
    status, out, err = cli.call("report", ["w", "-o", "page.html"])
    assert status == 0
    assert_clean(out, err, Path("page.html").read_text())


def test_the_check_of_the_data(cli, hostile, tmp_path):
    root = shutil.copytree(hostile, tmp_path / "damaged")
    for file in (root / "train").iterdir():
        file.write_bytes(b"no picture")
    status, out, err = cli.call("data", ["check", *cli.argv("det", *flags(root))])
    assert status == 1
    assert r"\x1b[31m" in out
    assert_clean(out, err)


def test_a_refusal_names_the_class(cli, hostile):
    argv = cli.argv("det", "--data-root", hostile, "--classes", "a,b,c,d,e")
    for tool, args in (("train", argv), ("data", ["check", *argv]), ("data", ["show", *argv])):
        status, out, err = cli.call(tool, args)
        assert status == 1
        assert r"\x1b[2J" in out + err
        assert_clean(out, err)


def test_parameters_of_a_checkpoint(cli, tmp_path):
    state = {"\x1b[31mstages.0\u202e.weight": torch.zeros(1), "\x9b\r": torch.zeros(2)}
    torch.save({"state_dict": state, "meta": {"\x1b": "\x1b"}}, tmp_path / "a\x1b.pth")
    for command in (["inspect"], ["verify"], ["convert"]):
        argv = [*command, str(tmp_path / "a\x1b.pth")]
        argv += ["out.pth"] * (command == ["convert"])
        status, out, err = cli.call("weights", argv)
        assert status == 1
        assert_clean(out, err)


def test_results_and_label_maps_of_hostile_names(cli, hostile, tmp_path):
    truth = hostile / "annotations/instances_val.json"
    entry = dict(image_id="\x1b[31m", category_id=1, bbox=[0, 0, 1, 1], score=1)
    (tmp_path / "results\x1b.json").write_text(json.dumps([entry]))
    argv = ["coco", str(tmp_path / "results\x1b.json"), str(truth)]
    status, out, err = cli.call("evaluate", argv)
    assert status == 1
    assert_clean(out, err)
    for folder in ("pred", "gt"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a\x1b[31m.png").write_bytes(b"no png")
    status, out, err = cli.call("evaluate", ["ade20k", "pred", "gt"])
    assert status == 1
    assert_clean(out, err)


@pytest.mark.parametrize("text", NAMES)
def test_whatever_a_library_says_is_escaped(capsys, text):
    def main(argv: list[str]) -> None:
        print_text(text)
        print_log(f"by a logger {text}", logger="current", level=logging.WARNING)
        logging.getLogger("other").warning("by %s", text)
        logging.getLogger("other").warning("wrong %s %s", text)
        warnings.warn(text, stacklevel=1)
        raise ValueError(text)

    logging.getLogger("other").addHandler(handler := logging.StreamHandler(sys.stderr))
    with contextlib.suppress(TypeError), warnings.catch_warnings():
        warnings.simplefilter("always")
        assert run_tool(main, []) == 1
    logging.getLogger("other").removeHandler(handler)
    said = capsys.readouterr()
    assert_clean(said.out, said.err.replace("wrong", ""))
    assert printable(text).partition("\\")[0] in said.err


@pytest.mark.parametrize("tool", ["train", "infer", "weights", "report"])
def test_an_argument_that_is_a_hostile_file_name(cli, capsys, tool):
    with pytest.raises(SystemExit):
        run_tool(cli.load_tool(tool).main, ["inspect", "a", "b", "--\x1b]0;owned\x07.jpg"])
    assert_clean(said := capsys.readouterr().err)
    assert r"--\x1b]0;owned\x07.jpg" in said


def test_an_encoding_without_a_character_is_no_error(tmp_path):
    out = (tmp_path / "out").open("w", encoding="ascii")
    with contextlib.redirect_stdout(out), out:
        assert run_tool(lambda argv: print_text("größe \ud800"), []) == 0
    assert (tmp_path / "out").read_text() == "gr\\xf6\\xdfe \\ud800\n"
