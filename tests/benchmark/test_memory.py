"""Peaks of known allocations."""

from __future__ import annotations

import pytest
import torch

from convnext_dense.benchmark.memory import MemoryWatch

MB = 2**20
devices = pytest.mark.parametrize(
    "name",
    [
        "cpu",
        pytest.param(
            "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
        ),
    ],
)


def allocate(megabytes: int, device: torch.device) -> torch.Tensor:
    return torch.empty(megabytes * MB, dtype=torch.uint8, device=device)


@devices
def test_peak_is_what_stood_at_once(name):
    device = torch.device(name)
    before = allocate(64, device)
    with MemoryWatch(device) as watch:
        for _ in range(2):
            one = allocate(4, device)
            two = allocate(3, device)
            del one, two
        kept = allocate(5, device)
    assert watch.peak == 7 * MB
    assert watch.left == kept.numel()
    del before


def test_sees_what_a_backward_pass_holds():
    x = torch.randn(1000, 256, requires_grad=True)
    with MemoryWatch(torch.device("cpu")) as watch:
        x.exp().sin().sum().backward()
    # The results of exp and sin, then the gradients of both in turns.
    assert 2 * x.nbytes <= watch.peak <= 4 * x.nbytes + 1000
    assert watch.left == x.grad.nbytes


def test_an_error_passes_through():
    with pytest.raises(KeyError), MemoryWatch(torch.device("cpu")):
        raise KeyError
