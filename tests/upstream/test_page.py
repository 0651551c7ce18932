"""Each workaround says what it is for, and the page says the same."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from convnext_dense import upstream
from convnext_dense.upstream._switches import SWITCHES

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "convnext_dense" / "upstream"
TOOL = runpy.run_path(str(ROOT / "tools" / "upstream.py"))


def test_the_page_is_up_to_date():
    page = (ROOT / "docs" / "upstream.md").read_text()
    assert page == TOOL["render"](FOLDER), "run: python tools/upstream.py"


@pytest.mark.parametrize("path", TOOL["files"](FOLDER), ids=lambda path: path.stem)
def test_a_file_has_all_fields(path):
    one = TOOL["read"](path)
    assert one.title.endswith(".")
    assert all(text.endswith(".") for text in one.fields.values())
    # What acts without being asked can be switched off by its name.
    assert one.fields["Off-switch"].startswith("its name" if one.name in SWITCHES else "none")


def test_every_switch_is_a_file():
    names = {path.stem for path in TOOL["files"](FOLDER)}
    assert names >= set(SWITCHES) >= set(upstream.MENDS)


@pytest.mark.parametrize(
    "text",
    ["", "Title.", "Title.\n\nFault: a.\nReach: b.\nEnd: c.", "Title.\n\nMore.\nFault: a.",
     "Title.\n\nReach: b.\nFault: a.\nOff-switch: its name.\nEnd: c.",
     "Title.\n\nFault: a.\nReach:\nOff-switch: its name.\nEnd: c."],
)  # fmt: skip
def test_a_file_without_them_is_named(tmp_path, text):
    path = tmp_path / "some.py"
    path.write_text(f'"""{text}"""\n')
    with pytest.raises(ValueError, match=r"some\.py: its docstring's second part is not of Fault"):
        TOOL["read"](path)


def test_the_help_of_the_generator_writes_nothing(monkeypatch, capsys):
    monkeypatch.setitem(TOOL["main"].__globals__, "write_whole", lambda *_: pytest.fail("wrote"))
    with pytest.raises(SystemExit, match="0"):
        TOOL["main"](["--help"])
    assert "Write docs/upstream.md" in capsys.readouterr().out
