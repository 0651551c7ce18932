"""What tests of packed weights have in common."""

import gc

import pytest
import torch

from convnext_dense import kernels
from convnext_dense.kernels import onednn

MARKS = [
    pytest.mark.skipif(
        not onednn.available(torch.bfloat16), reason="no oneDNN operators for bfloat16 here"
    ),
    pytest.mark.usefixtures("fast_at_any_size"),
]
CHANNELS = 16


def infer(net, image=None):
    if image is None:
        image = torch.linspace(-2, 2, 2 * CHANNELS * 72).sin().view(2, CHANNELS, 8, 9)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        return net(image)


def distance(a, b):
    return ((a - b).norm() / b.norm()).item()


def assert_follows(net, before=None):
    """The network computes what its weights say, not what it computed before."""
    with kernels.plain_torch():
        want = infer(net)
    if before is not None:
        assert distance(before, want) > 0.05
    for _ in range(3):
        assert distance(infer(net), want) < 0.02


def packed_tensors():
    gc.collect()
    return [t for t in gc.get_objects() if type(t) is torch.Tensor and t.layout == torch._mkldnn]


def in_place(weight):
    with torch.no_grad():
        weight.mul_(2)
