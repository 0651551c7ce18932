"""What the tools print names flags where the library names arguments."""

from __future__ import annotations

import logging
import sys
import warnings

import pytest

from convnext_dense.cli.errors import run
from convnext_dense.cli.flags import speak_as, with_flags
from convnext_dense.cli.output import say


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
        speak_as(argv[0])
        raise ValueError("`batch_size=0`")

    for tool, flag in (("infer", "--batch"), ("train", "--batch-size")):
        assert run(main, [tool]) == 1
        assert capsys.readouterr().err == f"error: {flag} 0\n"


def test_all_that_is_printed_is_translated(capsys):
    logging.getLogger("other").addHandler(handler := logging.StreamHandler(sys.stderr))

    def main(argv: list[str]) -> None:
        say("said of `data_root`")
        logging.getLogger("other").warning("logged of %s", "`data_root`")
        # pytest keeps warnings that are raised from printing.
        sys.stderr.write(warnings.formatwarning("warned of `data_root`", UserWarning, "f.py", 1))
        raise ValueError("raised of `data_root`")

    assert run(main, []) == 1
    logging.getLogger("other").removeHandler(handler)
    printed = "".join(capsys.readouterr())
    for how in ("said", "logged", "warned", "raised"):
        assert f"{how} of --data-root" in printed
