"""A few attacks of each kind; ``make attack`` makes them all."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ATTACK = Path(__file__).with_name("attack.py")
KINDS = runpy.run_path(str(ATTACK.with_name("kinds.py")))["KINDS"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(torch.cuda.is_available(), reason="forks processes without CUDA"),
]


@pytest.fixture(scope="module")
def results(request, tmp_path_factory) -> list[dict]:
    """What came of the kinds that are tested, from a process that nothing was computed in."""
    folder = tmp_path_factory.mktemp("attack")
    items = [item for item in request.session.items if item.module is request.module]
    kinds = [item.callspec.params["kind"] for item in items]
    to = folder / "results.json"
    command = [sys.executable, str(ATTACK), *kinds, "--sample", "--json", to, "--tmp", folder]
    done = subprocess.run(
        [*command, "--seed", os.environ.get("ATTACK_SEED", "0")],
        capture_output=True,
        text=True,
        timeout=900,
    )
    print(done.stdout, done.stderr)
    assert to.is_file(), done.stderr
    return json.loads(to.read_text())


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_of(kind, results):
    of_kind = [result for result in results if result["name"].startswith(f"{kind}/")]
    assert of_kind
    assert not [result for result in of_kind if result["wrong"]]
