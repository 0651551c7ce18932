"""The files for those who pick the project up agree with it."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

import convnext_dense

ROOT = Path(__file__).parents[1]


def read_yaml(name: str) -> dict:
    return yaml.safe_load((ROOT / name).read_text())


def test_the_citation_is_of_this_version():
    assert read_yaml("CITATION.cff")["version"] == convnext_dense.__version__


def test_commits_are_looked_at_with_the_ruff_of_the_constraints():
    hooks = {repo["repo"]: repo["rev"] for repo in read_yaml(".pre-commit-config.yaml")["repos"]}
    pinned = re.search(r"^ruff==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert hooks["https://github.com/astral-sh/ruff-pre-commit"] == f"v{pinned[1]}"
