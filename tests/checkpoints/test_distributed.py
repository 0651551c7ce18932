"""Whatever is wrong stops every process, and none waits for another."""

from __future__ import annotations

import sys

import pytest
import torch.distributed as dist

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not dist.is_gloo_available(), reason="needs gloo"),
]
SCRIPT = """
import sys
import torch.distributed as dist
from convnext_dense import ConvNeXt, load_weights

dist.init_process_group("gloo")
try:
    load_weights(ConvNeXt("atto"), sys.argv[1])
except (RuntimeError, OSError) as error:
    print(f"rank {dist.get_rank()}: {error}", flush=True)
dist.destroy_process_group()
"""


@pytest.mark.parametrize("fault", ["another arch", "no connection"])
def test_every_rank_stops(fault, tmp_path, saved, references, two_ranks):
    source = "http://127.0.0.1:9/convnext_atto.pth"
    says = "could not download"
    if fault == "another arch":
        source = saved(references.Meta((1, 1, 1, 1), (8, 16, 24, 32)).state_dict())
        says = "does not fit the backbone, which is arch 'atto'"
    ranks = two_ranks(sys.executable, "-c", SCRIPT, source, TORCH_HOME=str(tmp_path))
    for rank, said in enumerate(ranks):
        assert f"rank {rank}: " in said and says in said
