import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from convnext_dense.upstream.ops import torchvision_ops as module
from convnext_dense.upstream.ops.torchvision_ops import torchvision_ops

# A device of which this machine has tensors, under a name that is not the CPU's.
DEVICE = SimpleNamespace(type="meta")


@pytest.fixture(autouse=True)
def fresh_probe():
    module._probe.cache_clear()
    yield
    module._probe.cache_clear()


@pytest.fixture
def torchvision(monkeypatch):
    """A torchvision whose operators work."""
    operators = SimpleNamespace(nms=lambda boxes, scores, threshold: boxes[:, 0].long())
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setattr(torch.ops, "torchvision", operators, raising=False)
    return operators


def test_working_operators_are_used(torchvision):
    assert torchvision_ops(DEVICE) is torchvision


def test_the_cpu_uses_plain_torch(torchvision):
    assert torchvision_ops(torch.device("cpu")) is None


def test_deterministic_mode_uses_plain_torch(torchvision):
    torch.use_deterministic_algorithms(True)
    try:
        assert torchvision_ops(DEVICE) is None
    finally:
        torch.use_deterministic_algorithms(False)


def test_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    assert torchvision_ops(DEVICE) is None


def test_a_build_without_kernels_for_the_device(torchvision):
    def missing(boxes, scores, threshold):
        raise NotImplementedError("no kernel")

    torchvision.nms = missing
    assert torchvision_ops(DEVICE) is None
