"""Runs the kernels' tests under Triton's interpreter where there is no GPU.

The interpreter executes every program of a kernel in numpy. It shows that offsets, masks, sums and
gradients are right. It cannot show that a kernel compiles, what it costs, or whether threads race.
It cuts float32 off to bfloat16 where a GPU rounds, so bfloat16 errors come out twice as large.
The interpreters of Triton 3.1 and 3.4 break with numpy 2.4, that of 3.9 runs.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from .conftest import NEED_TRITON

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent


@pytest.mark.skipif(torch.cuda.is_available(), reason="the same tests run on the GPU itself")
@pytest.mark.skipif(
    "TRITON_INTERPRET" in os.environ, reason="the same tests run in this very process"
)
@pytest.mark.skipif(
    importlib.util.find_spec("triton") is None,
    reason="needs Triton 3.0 or later, which torch's builds for CPUs do not bring",
)
def test_kernels_equal_plain_torch_under_the_interpreter():
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *(HERE / name for name in NEED_TRITON)],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        cwd=HERE.parents[2],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
