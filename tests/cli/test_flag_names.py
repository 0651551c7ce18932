"""What the tools print names flags where the library names arguments."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from pycocotools import mask

from convnext_dense import ConvNeXt, Predictor
from convnext_dense.analysis.flops import count_complexity
from convnext_dense.checkpoints.convert import convert
from convnext_dense.cli.errors import run_tool
from convnext_dense.cli.flags import FLAGS, OWN_FLAGS, shown_as, use_flags_of, with_flags
from convnext_dense.cli.main import SUBCOMMANDS, run_subcommand
from convnext_dense.cli.output import print_text
from convnext_dense.cli.program import called
from convnext_dense.config.read_config import read_config
from convnext_dense.config.steps.data import retarget
from convnext_dense.data.check import check_data
from convnext_dense.data.shapes import CLASSES
from convnext_dense.evaluation.coco_input import types_of
from convnext_dense.evaluation.label_maps import evaluate_label_maps
from convnext_dense.report.samples import draw_samples

# Arguments that are called otherwise than what argparse makes of their flags.
RENAMED = {"batch_size", "force_keys", "images", "kinds", "plan_swap", "predict=False", "types"}
FUNCTIONS = {
    "Predictor": "infer",
    "audit_data": "data check",
    "draw_samples": "data show",
    "recipes": "recipes",
    "test": "test",
    "train": "train",
}
# Flags of what a tool alone does: no message of the library is about them.
OF_TOOLS = {
    *("--check", "--compile", "--debug", "--diff", "--help", "--json", "--local_rank"),
    *("--max-examples", "--memory-format", "--min-time", "--parts", "--path", "--peers"),
    *("--full", "--per-class", "--plot", "--quick", "--quiet", "--rows", "--strict"),
    *("--threads", "--verbose"),
}


@pytest.fixture(autouse=True)
def _no_tool():
    """Let no tool of an earlier test lend its flags."""
    use_flags_of("")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("`data_root`: one folder", "--data-root: one folder"),
        ("`classes=('a', 'b c')`", "--classes 'a,b c'"),
        ("`classes=('a', ...)`", "--classes a,..."),
        ("`box_only=True` trains", "--box-only trains"),
        ("`weights=None`", "--weights none"),
        ("`weights=PATH`", "--weights PATH"),
        ("`weights='it`s here.pth'`", """--weights 'it`s here.pth'"""),
        ("`device='cuda:1'`: none", "--device cuda:1: none"),
        ("`cfg_options={'reinit_heads': True}`", "--cfg-options reinit_heads=True"),
        ("`force_keys=['a.b']`", "--force-key a.b"),
        ("`checkpoint='a.pth'`", "checkpoint a.pth"),
        ("`trust=True` unpickles", "tools/weights.py --trust unpickles"),
    ],
)
def test_an_argument_becomes_its_flag(text, shown):
    assert with_flags(text) == with_flags(shown) == shown


@pytest.mark.parametrize(
    "text",
    ["`no_argument=1`", "`", "``", "`data_root", "``data_root``", "`a b` `data_root c`", "`A`"],
)
def test_other_text_stays(text):
    assert with_flags(text) == text.replace("``data_root``", "`--data-root`")


@pytest.mark.parametrize(
    "value", ["(" * 9999, "'\\d'", "\\", "'", "1" * 9999, "{[]: 1}", "{'a': {}}", "[[]]", "=", "\0"]
)
def test_a_value_from_data_is_harmless(value):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert with_flags(f"`classes={value}` stays").endswith(" stays")


def test_a_control_character_in_quotes_stays_escaped():
    assert with_flags(r"`out='a\x1b\nb'`") == r"--out 'a\x1b\nb'"


def test_a_tool_has_its_own_flags(capsys):
    def main(argv: list[str]) -> None:
        use_flags_of(argv[0])
        raise ValueError("`batch_size=0`")

    for tool, flag in (("infer", "--batch"), ("train", "--batch-size")):
        assert run_tool(main, [tool]) == 1
        assert capsys.readouterr().err == f"error: {flag} 0\n"


def test_all_that_is_printed_is_translated(capsys):
    logging.getLogger("other").addHandler(handler := logging.StreamHandler(sys.stderr))

    def main(argv: list[str]) -> None:
        print_text("said of `data_root`")
        logging.getLogger("other").warning("logged of %s", "`data_root`")
        # pytest keeps warnings that are raised from printing.
        sys.stderr.write(warnings.formatwarning("warned of `data_root`", UserWarning, "f.py", 1))
        raise ValueError("raised of `data_root`")

    assert run_tool(main, []) == 1
    logging.getLogger("other").removeHandler(handler)
    printed = "".join(capsys.readouterr())
    for how in ("said", "logged", "warned", "raised"):
        assert f"{how} of --data-root" in printed


def options(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Return the options of a parser and its subcommands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from options(command)
        else:
            yield action


@pytest.fixture
def parsed(monkeypatch):
    """Return the options of a tool; messages name that tool's flags from then on."""

    class CaughtError(Exception):
        pass

    def catch(parser: argparse.ArgumentParser, *_: object) -> None:
        raise CaughtError(parser)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", catch)

    def parse(tool: str) -> list[argparse.Action]:
        use_flags_of("")
        with pytest.raises(CaughtError) as caught:
            run_subcommand(tool, [])
        return list(options(caught.value.args[0]))

    return parse


def photo() -> str:
    """Write a picture and return its path."""
    cv2.imwrite("photo.png", np.zeros((8, 8, 3), np.uint8))
    return "photo.png"


@pytest.mark.parametrize("tool", SUBCOMMANDS)
def test_every_flag_has_a_name(parsed, tool):
    tables = [FLAGS, *(own for of, own in OWN_FLAGS.items() if of.split()[0] == tool)]
    for option in parsed(tool):
        if option.option_strings and max(option.option_strings, key=len) not in OF_TOOLS:
            flags = {shown_as(flag).split()[-1] for table in tables for flag in table.values()}
            assert flags & set(option.option_strings), option
        elif known := [table[option.dest] for table in tables if option.dest in table]:
            assert option.dest in known  # a positional


@pytest.mark.parametrize(
    ("tool", "name"),
    [
        *(("", name) for name in FLAGS if name not in FUNCTIONS),
        *((tool, name) for tool, names in OWN_FLAGS.items() for name in names),
    ],
)
def test_every_name_is_that_of_a_flag(parsed, tool, name):
    shown = {**FLAGS, **OWN_FLAGS.get(tool, {})}[name]
    place, flag = shown if isinstance(shown, tuple) else (tool, shown)
    tools = place.split()[:1] or SUBCOMMANDS
    found = {o.dest for t in tools for o in parsed(t) if flag in (o.option_strings or [o.dest])}
    assert found == {name} or (found and name in RENAMED)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_has_a_subcommand(name):
    assert shown_as(FLAGS[name]) == called(FUNCTIONS[name])
    tool, *command = FUNCTIONS[name].split()
    with pytest.raises(SystemExit) as stop:
        run_subcommand(tool, [*command, "--help"])
    assert stop.value.code == 0


def refusal(call: Callable, *args: object, **kwargs: object) -> str:
    """Call what must fail; give what it said."""
    with pytest.raises((ValueError, RuntimeError, OSError)) as error:
        call(*args, **kwargs)
    return str(error.value)


NO_DATA = "(train_dataloader.dataset.data_root) does not exist: give the data set's folder by "
RETINANET = "mmdet::retinanet/retinanet_r50_fpn_1x_coco.py"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tool", "arguments", "flags", "named", "shown"),
    [
        ("train", dict(classes="a,a"), ["--classes", "a,a"], "`classes` names", "--classes names"),
        ("test", dict(classes="a,,b"), ["--classes", "a,,b"], "`classes='a,,b'`", "--classes a,,b"),
        ("infer", dict(img_size=31), ["--img-size", "31"], "`img_size` is", "--img-size is"),
        ("train", dict(ann_train="x"), ["--ann-train", "x"], "`ann_train='x'`:", "--ann-train x:"),
        ("data", dict(ann_val="a b"), ["--ann-val", "a b"], "`ann_val='a b'`:", "--ann-val 'a b':"),
        ("train", dict(box_only=True), ["--box-only"], "`box_only`: the", "--box-only: the"),
    ],
)
def test_other_data(cli, tool, arguments, flags, named, shown):
    config = RETINANET if "box_only" in arguments else str(cli.config["det"])
    before = {"data": ["check"]}.get(tool, [])
    after = {"test": ["c.pth"], "infer": ["c.pth", photo()]}.get(tool, [])
    said = refusal(retarget, read_config(config), **arguments)
    assert said.startswith(named)
    refused = cli.refused(tool, [*before, config, *after, *flags])
    assert refused.startswith(shown)
    assert refused.removeprefix(shown) == said.removeprefix(named)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "flags", "named", "shown"),
    [
        (
            dict(device="cuda:99"),
            ["--device", "cuda:99"],
            "`device='cuda:99'`:",
            "--device cuda:99:",
        ),
        (dict(batch_size=0), ["--batch", "0"], "`batch_size` is at", "--batch is at"),
        (dict(score=1.5), ["--score", "1.5"], "`score` is at", "--score is at"),
    ],
)
def test_predictor(cli, arguments, flags, named, shown):
    config = str(cli.config["det"])
    said = refusal(Predictor, config, "c.pth", **arguments)
    assert said.startswith(named)
    assert cli.refused("infer", [config, "c.pth", photo(), *flags]).startswith(shown)


@pytest.mark.slow
def test_a_missing_folder_of_the_data(cli):
    config = str(cli.config["det"])
    assert f"{NO_DATA}`data_root`, or" in refusal(check_data, read_config(config))
    argv = [config, "--weights", "none", "--work-dir", "w"]
    assert f"{NO_DATA}--data-root, or" in cli.refused("train", argv)


@pytest.mark.slow
def test_classes_that_the_file_lacks(cli, shapes):
    cfg = retarget(read_config(str(cli.config["det"])), data_root=str(shapes), classes="a,b")
    cfg = retarget(cfg, ann_train="annotations/instances_train.json")
    argv = [*cli.argv("det", "--weights", "none", "--work-dir", "w"), "--classes", "a,b"]
    for said, shown in (
        (refusal(check_data, cfg, ("train",)), f"`classes={CLASSES}`"),
        (cli.refused("train", argv), f"--classes {','.join(CLASSES)}"),
    ):
        assert said.endswith(f": {shown}")


@pytest.mark.slow
def test_the_shape_of_a_count(cli):
    config = str(cli.config["det"])
    said = refusal(count_complexity, read_config(config), (0, 64))
    assert said.startswith("`shape` takes a positive")
    argv = [config, "--shape", "0", "64"]
    assert cli.refused("flops", argv) == said.replace("`shape`", "--shape")


@pytest.mark.slow
def test_samples(cli):
    config = str(cli.config["det"])
    said = refusal(draw_samples, read_config(config), number=1, seed=-1)
    assert said == "`seed` is from 0 to 2**32 - 1, got -1"
    argv = ["show", config, "--seed", "-1"]
    assert cli.refused("data", argv) == said.replace("`seed`", "--seed")


def test_evaluation_from_files(cli, tmp_path):
    labels = np.full((4, 4), 2, np.uint8)
    for folder in ("pred", "truth"):
        Path(folder).mkdir()
        cv2.imwrite(f"{folder}/a.png", labels)
    assert refusal(evaluate_label_maps, "pred", "truth", ("a", "b")).endswith(
        "give `reduce_zero_label=True`"
    )
    argv = ["ade20k", "pred", "truth", "--classes", "a,b"]
    assert cli.refused("evaluate", argv).endswith("give --reduce-zero-label")

    image = dict(id=1, width=8, height=8, file_name="a.png")
    box = dict(image_id=1, category_id=1, bbox=[0, 0, 4, 4])
    truth = dict(
        images=[image],
        categories=[dict(id=1, name="a")],
        annotations=[dict(box, id=1, area=16, iscrowd=0)],
    )
    encoded = mask.encode(np.ones((8, 8), np.uint8, order="F"))
    encoded["counts"] = encoded["counts"].decode()
    results = [dict(box, score=0.5), dict(box, score=0.5, segmentation=encoded)]
    assert refusal(types_of, results, truth).endswith("`types` chooses one")
    for file, content in (("truth.json", truth), ("results.json", results)):
        Path(file).write_text(json.dumps(content))
    said = cli.refused("evaluate", ["coco", "results.json", "truth.json"])
    assert said.endswith("--type chooses one")


def test_a_file_that_exists(cli):
    torch.save(ConvNeXt("atto").state_dict(), "a.pth")
    Path("b.pth").touch()
    assert refusal(convert, "a.pth", "b.pth") == "b.pth exists: `overwrite=True` replaces it"
    said = cli.refused("weights", ["convert", "a.pth", "b.pth"])
    assert said == "b.pth exists: --overwrite replaces it"
