"""The check before a run of several processes: one of them checks, and tells the others."""

from __future__ import annotations

import sys

import pytest
import torch
import torch.distributed as dist

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available() or not dist.is_gloo_available(), reason="gloo without CUDA"
)
SCRIPT = """
import warnings
import convnext_dense
from mmengine.config import Config
from convnext_dense.cli import runner
from convnext_dense.cli.device import fit_to_device
from convnext_dense.data.rules import Finding

cfg = Config(dict(launcher="pytorch", model=dict()))
fit_to_device(cfg, {})

def warn(cfg, splits):
    print("checked", splits, flush=True)
    return [Finding("warning", "train", "two of them", ("annotation 1",), "a.json")]

def refuse(cfg, splits):
    print("checked", splits, flush=True)
    raise FileNotFoundError("no such data")

runner.check_data = warn
runner.check_before_run(cfg, ("train",))
runner.check_data = refuse
try:
    runner.check_before_run(cfg, ("val",))
except FileNotFoundError as error:
    print("refused:", error, flush=True)
"""


def test_the_first_process_checks_for_all(two_ranks):
    first, second = two_ranks(sys.executable, "-c", SCRIPT)
    assert "checked ('train',)" in first and "checked ('val',)" in first
    assert "note: train: annotation file a.json: annotation 1; two of them" in first
    assert "checked" not in second and "note: train" not in second
    assert all("refused: no such data" in said for said in (first, second))
