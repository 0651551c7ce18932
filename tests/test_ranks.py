"""What one process of a run decides for all of them."""

from __future__ import annotations

import sys

import pytest

from convnext_dense.ranks import decided_by_rank_0

pytestmark = pytest.mark.slow

SCRIPT = """
from types import SimpleNamespace
import torch
import torch.distributed as dist
from convnext_dense.ranks import decided_by_rank_0
from convnext_dense.training import FiniteValuesHook

dist.init_process_group("gloo")
rank = dist.get_rank()
print("decided", decided_by_rank_0(lambda: f"by {rank}"))

def fail():
    raise FileNotFoundError(f"no file for {rank}")

try:
    decided_by_rank_0(fail)
except FileNotFoundError as error:
    print("failed:", error)
hook = FiniteValuesHook()
try:
    for step in range(30):
        loss = torch.tensor(float("nan") if rank == 1 and step >= 4 else 1.0)
        hook.after_train_iter(SimpleNamespace(iter=step), step, outputs=dict(loss=loss))
except RuntimeError as error:
    print(f"ended after {step + 1}: {error}")
dist.destroy_process_group()
"""


def test_one_process_decides_alone():
    assert decided_by_rank_0(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        decided_by_rank_0(lambda: 1 / 0)


def test_two_processes_decide_fail_and_diverge_together(two_ranks):
    said = two_ranks(sys.executable, "-c", SCRIPT)
    for lines in said:
        assert "decided by 0" in lines
        assert "failed: no file for 0" in lines
        assert "ended after 10: " in lines
    assert "the loss of another process was NaN or infinite in 6 iterations in a row" in said[0]
    assert "loss was NaN or infinite in 6 iterations in a row" in said[1]
