"""The files for those who pick the project up agree with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import convnext_dense

ROOT = Path(__file__).parents[1]
MADE = {".venv/bin/python", "work_dirs/demo/pictures"}  # by the commands of the pages
FOLDERS = ("runtime", "benchmarks", "configs", "convnext_dense", "docs", "tests", "tools")
PATH = re.compile(r"(?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:cff|html|md|py|toml|txt)")


def read_yaml(name: str) -> dict:
    return yaml.safe_load((ROOT / name).read_text())


def test_the_citation_is_of_this_version():
    assert read_yaml("CITATION.cff")["version"] == convnext_dense.__version__


def test_commits_are_looked_at_with_the_ruff_of_the_constraints():
    hooks = {repo["repo"]: repo["rev"] for repo in read_yaml(".pre-commit-config.yaml")["repos"]}
    pinned = re.search(r"^ruff==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert hooks["https://github.com/astral-sh/ruff-pre-commit"] == f"v{pinned[1]}"


@pytest.mark.slow
@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/release.md"])
def test_what_a_page_names_is_there(page):
    """Each file and each name of the code, as far as it stands in backticks."""
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
    files = [path for path in (*files, *ROOT.iterdir()) if "__pycache__" not in path.parts]
    paths = [f"/{path.relative_to(ROOT)}" for path in files]
    code = "\n".join(path.read_text() for path in files if path.suffix == ".py")
    known = {*re.findall(r"\w+", code)}
    quotes = re.findall(r"`([^`\n]+)`", (ROOT / page).read_text())
    words = {word for quote in quotes for word in quote.split() if PATH.fullmatch(word)}
    names = {quote for quote in quotes if re.fullmatch(r"[A-Za-z_]\w*", quote)}
    assert {word for word in words - MADE if not any(f"/{word}" in path for path in paths)} == set()
    assert names - known == set()


def test_the_map_has_every_room():
    rooms = {path.parent.name for path in (ROOT / "convnext_dense").glob("*/__init__.py")}
    assert rooms <= set(re.findall(r"^\| `(\w+)/`", (ROOT / "CONTRIBUTING.md").read_text(), re.M))
