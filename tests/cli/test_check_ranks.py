"""The check before a run of several processes: one of them checks, and tells the others."""

from __future__ import annotations

import sys

import pytest
import torch
import torch.distributed as dist

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        torch.cuda.is_available() or not dist.is_gloo_available(), reason="gloo without CUDA"
    ),
]
SCRIPT = """
from mmengine.config import Config
from convnext_dense.cli.console.current import show_note
from convnext_dense.config.options import RunOptions
from convnext_dense.config.plan import Plan, take_steps
from convnext_dense.config.steps import check_data
from convnext_dense.data.rules import Finding
from convnext_dense.training.processes import join_processes, leave_processes

cfg = Config(dict(launcher="pytorch", model=dict()))
join_processes(cfg)

def warn(cfg, splits, objects):
    print("checked", splits, flush=True)
    return [Finding("warning", "train", "two of them", ("annotation 1",), "a.json")]

def refuse(cfg, splits, objects):
    print("checked", splits, flush=True)
    raise FileNotFoundError("no such data")

def look(splits):
    take_steps(Plan(RunOptions(cfg), cfg, splits=splits), [check_data.check_run_data], show_note)

check_data.check_data = warn
look(("train",))
check_data.check_data = refuse
try:
    look(("val",))
except FileNotFoundError as error:
    print("refused:", error, flush=True)
leave_processes()
"""


def test_the_first_process_checks_for_all(two_ranks):
    first, second = two_ranks(sys.executable, "-c", SCRIPT)
    assert "checked ('train',)" in first and "checked ('val',)" in first
    assert "note: train: annotation file a.json: annotation 1; two of them" in first
    assert "checked" not in second and "note: train" not in second
    assert all("refused: no such data" in said for said in (first, second))
