import pytest
import torch
import torch.nn.functional as F

from convnext_dense.kernels.triton import launch
from convnext_dense.kernels.triton.layer_norm import normalise, normalise_backward

from .helpers import DTYPES, TOLERANCE, error, exactly, gradients, random


def plain(x, weight, bias):
    return F.layer_norm(x, weight.shape, weight, bias, 1e-6)


def assert_equals_plain_torch(shape, dtype):
    inputs = [random(*shape, dtype=dtype), random(shape[-1]), random(shape[-1])]
    grad = random(*shape, dtype=dtype).detach()
    x, weight, bias = (t.detach() for t in inputs)
    y, mean, rstd = normalise(x, weight, bias, 1e-6, dtype)
    grad_x, sums = normalise_backward(x, grad, weight, mean, rstd)
    assert (y.dtype, grad_x.dtype, sums.dtype) == (dtype, dtype, torch.float32)

    expected, grads = gradients(plain, exactly(inputs), grad.double())
    assert error(y, expected) < TOLERANCE[dtype]
    for a, b in zip((grad_x, sums[0], sums[1]), grads, strict=True):
        assert error(a, b) < TOLERANCE[dtype]
    return grad_x, sums[2]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(2, 3, 5, 40), (1, 7, 96), (3, 2816), (70, 33)], ids=str)
def test_equals_plain_torch(shape, dtype):
    grad_x, total = assert_equals_plain_torch(shape, dtype)
    # Both cancel but for rounding, so the sum is held against the size of what it sums.
    scale = grad_x.double().abs().flatten(0, -2).sum(0)
    difference = total.double() - grad_x.double().flatten(0, -2).sum(0)
    assert (difference.abs() / scale).max() < TOLERANCE[dtype]


def test_more_strips_than_programs(monkeypatch):
    monkeypatch.setattr(launch, "_PROGRAMS", 3)
    assert_equals_plain_torch((450, 40), torch.float32)


def test_a_mean_far_above_the_deviation_keeps_its_digits():
    x, weight, bias = random(4, 64).detach() + 1000, random(64).detach(), random(64).detach()
    result = normalise(x, weight, bias, 1e-6, torch.float32)[0]
    assert error(result, plain(x.double(), weight.double(), bias.double())) < 1e-4


def test_empty():
    x, weight, bias = random(0, 40).detach(), random(40).detach(), random(40).detach()
    y, mean, rstd = normalise(x, weight, bias, 1e-6, torch.float32)
    grad_x, sums = normalise_backward(x, y, weight, mean, rstd)
    assert grad_x.shape == x.shape
    assert not sums.any()
