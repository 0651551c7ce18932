"""Two processes over gloo, as a detector's training would wrap the backbone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from convnext_dense import ConvNeXt

pytestmark = pytest.mark.slow

ARCH = dict(depths=(1, 1, 1), channels=(8, 16, 24), grn=True)


@pytest.mark.skipif(not dist.is_gloo_available(), reason="torch is built without gloo")
def test_trains_without_unused_parameters_or_stride_warnings(two_ranks, tmp_path):
    said = two_ranks(sys.executable, __file__, str(tmp_path))
    assert "strides" not in "".join(said)
    first, second = (torch.load(tmp_path / f"{r}.pth", weights_only=True) for r in range(2))
    assert torch.equal(first, second)


def train_two_steps(folder: Path) -> None:
    """Run one rank; DDP raises on the second step if a parameter got no gradient on the first."""
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.manual_seed(rank)
    net = ConvNeXt(ARCH, out_indices=(0, 2), frozen_stages=0, drop_path_rate=0.1)
    ddp = DistributedDataParallel(net)
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(2):
        optimizer.zero_grad()
        sum((output**3).sum() for output in ddp(torch.randn(2, 3, 32, 32))).backward()
        optimizer.step()
    flat = torch.cat([param.detach().reshape(-1) for param in net.parameters()])
    torch.save(flat, folder / f"{rank}.pth")
    # A reducer that outlives its group joins gloo's threads while it holds the lock that they may
    # be waiting for (pytorch/pytorch#56297).
    del ddp
    dist.destroy_process_group()


if __name__ == "__main__":
    train_two_steps(Path(sys.argv[1]))
