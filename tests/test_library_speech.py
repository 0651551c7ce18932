"""Outside of the command line nothing names a flag: a caller from Python has arguments."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

import pytest

import convnext_dense

PACKAGE = Path(convnext_dense.__file__).parent
FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]*|(?<![^\s(`'\"])-[a-z](?![\w-])")
# A value that a style sheet has a name for.
CSS = re.compile(r"var\(--[a-z]+")
# Strings and comments; of strings with fields since Python 3.12 their parts.
_SPOKEN = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)}


def flags_in(source: str) -> list[str]:
    """Return the flags that strings, docstrings and comments of Python code name."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    spoken = [CSS.sub("", token.string) for token in tokens if token.type in _SPOKEN]
    return [flag for text in spoken for flag in FLAG.findall(text)]


def library(suffix: str) -> list[Path]:
    files = [path.relative_to(PACKAGE) for path in sorted(PACKAGE.rglob(f"*{suffix}"))]
    return [path for path in files if path.parts[0] not in ("cli", "__main__.py")]


@pytest.mark.parametrize("file", library(".py"), ids=str)
def test_code_names_no_flag(file):
    assert flags_in((PACKAGE / file).read_text()) == []


@pytest.mark.parametrize("file", library(".html"), ids=str)
def test_templates_name_no_flag(file):
    assert FLAG.findall(CSS.sub("", (PACKAGE / file).read_text())) == []


@pytest.mark.parametrize(
    ("source", "flags"),
    [
        ("'''Apply ``--amp``.'''", ["--amp"]),
        ("x = 1  # as --box-only does", ["--box-only"]),
        ("f'--weights {path}'", ["--weights"]),
        ("('give it' ' --out')", ["--out"]),
        ("call('--seed')", ["--seed"]),
        ("'give a folder, -o D'", ["-o"]),
        ("f'`-n` is'", ["-n"]),
        ("x = 3 --y -z", []),
        ("'e-x, a - b, -1'", []),
        ("'var(--grid)' f'var(--run{n})'", []),
        ("'a -- b' # ------", []),
        ("'table --- end'", []),
    ],
)
def test_what_counts_as_a_flag(source, flags):
    assert flags_in(source) == flags
