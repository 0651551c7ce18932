import pytest
import torch
import torch.nn.functional as F

from convnext_dense.kernels.triton.operators import layer_norm

from .helpers import DTYPES, assert_equal, error, random


def fast(dtype):
    return lambda x, weight, bias: layer_norm(x, weight, bias, 1e-6, dtype)


def plain(x, weight, bias):
    return F.layer_norm(x, weight.shape, weight, bias, 1e-6)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(2, 3, 5, 40), (1, 7, 96), (3, 2816), (70, 33)], ids=str)
def test_equals_plain_torch(shape, dtype):
    inputs = [random(*shape, dtype=dtype), random(shape[-1]), random(shape[-1])]
    assert_equal(fast(dtype), plain, inputs, dtype)


def test_more_strips_than_programs(monkeypatch):
    from convnext_dense.kernels.triton import launch

    monkeypatch.setattr(launch, "_PROGRAMS", 3)
    inputs = [random(450, 40), random(40), random(40)]
    assert_equal(fast(torch.float32), plain, inputs, torch.float32)


def test_a_mean_far_above_the_deviation_keeps_its_digits():
    x = (random(4, 64).detach() + 1000).requires_grad_()
    weight, bias = random(64), random(64)
    result = fast(torch.float32)(x, weight, bias)
    assert error(result, plain(x.double(), weight.double(), bias.double())) < 1e-4


def test_takes_any_strides():
    inputs = [random(40, 6).t(), random(40), random(40)]
    assert error(fast(torch.float32)(*inputs), plain(*(t.double() for t in inputs))) < 1e-5


def test_narrows_only_the_result():
    x, weight, bias = random(5, 40), random(40), random(40)
    result = fast(torch.float16)(x, weight, bias)
    assert result.dtype == torch.float16
    assert torch.autograd.grad(result.float().sum(), x)[0].dtype == torch.float32


def test_empty():
    x, weight, bias = random(0, 40), random(40), random(40)
    fast(torch.float32)(x, weight, bias).sum().backward()
    assert x.grad.shape == x.shape
    assert not weight.grad.any()


def test_gradients_of_gradients():
    inputs = [random(3, 8), random(8), random(8)]
    penalties = []
    for function in (fast(torch.float32), plain):
        grads = torch.autograd.grad(function(*inputs).pow(2).sum(), inputs, create_graph=True)
        penalties.append(torch.autograd.grad(sum(g.pow(2).sum() for g in grads), inputs))
    for a, b in zip(*penalties, strict=True):
        assert error(a, b) < 1e-4
