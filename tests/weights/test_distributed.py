"""Whatever is wrong stops every process, and none waits for another."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
import torch.distributed as dist

pytestmark = pytest.mark.skipif(not dist.is_gloo_available(), reason="needs gloo")
SCRIPT = """
import sys
import torch.distributed as dist
from convnext_dense import ConvNeXt, load_weights

dist.init_process_group("gloo")
try:
    load_weights(ConvNeXt("atto"), sys.argv[1])
except (RuntimeError, OSError) as error:
    print(f"rank {dist.get_rank()}: {error}", flush=True)
"""


@pytest.mark.parametrize("fault", ["another arch", "no connection"])
def test_every_rank_stops(fault, tmp_path, saved, references):
    source = "http://127.0.0.1:9/convnext_atto.pth"
    says = "could not download"
    if fault == "another arch":
        source = saved(references.Meta((1, 1, 1, 1), (8, 16, 24, 32)).state_dict())
        says = "does not fit the backbone, which is arch 'atto'"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = dict(WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    common |= dict(OMP_NUM_THREADS="1", TORCH_HOME=str(tmp_path))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, source],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | common | dict(RANK=str(rank), LOCAL_RANK=str(rank)),
        )
        for rank in range(2)
    ]
    for rank, process in enumerate(processes):
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert f"rank {rank}: " in said and says in said
