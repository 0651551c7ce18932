"""The one command, of which every tool is a part."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import mmengine
import pytest
import torch

import convnext_dense
from convnext_dense.cli.errors import run_tool
from convnext_dense.cli.main import SUBCOMMANDS, main
from convnext_dense.cli.program import called

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _called_by_its_name(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/convnext-dense"])


def call(capsys, *argv):
    """Run the command in this process, and return its status and what it printed."""
    try:
        status = run_tool(main, list(argv))
    except SystemExit as stop:
        status = stop.code
    printed = capsys.readouterr()
    return status, printed.out, printed.err


@pytest.mark.parametrize("columns", [40, 80])
def test_help_lists_every_subcommand(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    status, out, _ = call(capsys, "--help")
    assert status == 0
    assert max(map(len, out.splitlines())) <= columns
    assert re.findall(r"^    (\w+) {2,}\S", out, re.MULTILINE) == list(SUBCOMMANDS)


def test_without_arguments_it_shows_its_help(capsys):
    status, out, _ = call(capsys)
    assert (status, out) == (2, call(capsys, "--help")[1])


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_help_of_a_subcommand_names_what_was_typed(capsys, name):
    status, out, _ = call(capsys, name, "--help")
    assert status == 0
    assert f"usage: convnext-dense {name} " in out
    assert "tools/" not in out and "%(prog)s" not in out


@pytest.mark.parametrize(("wrong", "nearest"), [("trian", "train"), ("tests", "test")])
def test_an_unknown_subcommand(capsys, wrong, nearest):
    status, out, err = call(capsys, wrong, "c.py")
    assert (status, out) == (1, "")
    assert err.startswith(f"error: there is no subcommand {wrong!r}: choose {nearest}, ")
    assert all(name in err for name in SUBCOMMANDS)


def test_versions_of_ours_and_of_the_stack(capsys):
    status, out, _ = call(capsys, "--version")
    assert status == 0
    first, python, *stack = out.splitlines()
    assert first == f"convnext-dense {convnext_dense.__version__}"
    assert python == f"Python {sys.version.split()[0]}"
    assert stack[0] == f"torch {torch.__version__}"
    assert stack[1].endswith(f"mmengine {mmengine.__version__}")
    assert [re.split("[- ]", line)[0] for line in stack[2:]] == ["mmcv", "mmdet", "mmsegmentation"]


def test_messages_name_the_program_that_was_called(capsys):
    _, _, err = call(capsys, "recipes", "--path", "nothing")
    assert "convnext-dense recipes lists all" in err
    run_tool(lambda argv: None, [])
    assert called("data check") == "tools/data.py check"


def test_every_subcommand_is_a_file_of_tools_too():
    named = {
        match[1]: path.stem
        for path in (ROOT / "tools").glob("*.py")
        if (match := re.search(r'run_subcommand, "(\w+)"', path.read_text()))
    }
    assert set(named) >= {*SUBCOMMANDS} - {"recipes"}
    for subcommand in {*named} & {*SUBCOMMANDS}:
        assert called(subcommand) == f"tools/{named[subcommand]}.py"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("convnext-dense da", ["data "]),
        ("convnext-dense data sh", ["show", "shapes"]),
        ("convnext-dense train cascade_convnext_x", ["cascade_convnext_xl_in22k_coco "]),
        ("convnext-dense train own_", ["own_config.py "]),
        ("convnext-dense train x --weights fc", ["fcmae "]),
        ("convnext-dense swap x --mode a", ["auto", "adapter"]),
        ("convnext-dense unknown x", [""]),
    ],
)
def test_completion(tmp_path, line, offered):
    (tmp_path / "own_config.py").touch()
    asked = dict(COMP_LINE=line, COMP_POINT=str(len(line)), _ARGCOMPLETE="1")
    asked |= dict(_ARGCOMPLETE_STDOUT_FILENAME="offered", _ARGCOMPLETE_IFS="|")
    command = [sys.executable, "-m", "convnext_dense"]
    env = {"PYTHONPATH": str(ROOT), **os.environ, **asked}
    subprocess.run(command, cwd=tmp_path, env=env, check=True, capture_output=True)
    assert (tmp_path / "offered").read_text().split("|") == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_code_for_a_shell(capsys, shell):
    status, out, _ = call(capsys, "--print-completion", shell)
    assert status == 0 and "convnext-dense" in out
