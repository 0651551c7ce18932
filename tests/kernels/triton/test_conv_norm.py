import pytest
import torch

from convnext_dense.kernels import ConvNormParameters, reference
from convnext_dense.kernels.triton import depthwise, launch
from convnext_dense.kernels.triton.operators import conv_norm

from .helpers import DEVICE, DTYPES, assert_equal, error, random


def parameters(channels, kernel_size, dtype=torch.float32):
    weight = random(channels, 1, kernel_size, kernel_size, dtype=dtype, std=1 / kernel_size)
    return [weight, *(random(channels, dtype=dtype) for _ in range(3))]


def runs(dilation, dtype):
    def run(function, dtype):
        return lambda x, *tensors: function(x, ConvNormParameters(*tensors, dilation, 1e-6), dtype)

    return run(conv_norm, dtype), run(reference.conv_norm, torch.float64)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("shape", "kernel_size", "dilation"),
    [
        pytest.param((2, 3, 5, 40), 3, 1, id="two images"),
        pytest.param((1, 6, 4, 64), 7, 1, id="several rows of programs"),
        pytest.param((1, 5, 2, 96), 3, 2, id="dilated"),
        pytest.param((1, 2, 3, 12), 5, 1, id="smaller than the kernel"),
    ],
)
def test_equals_plain_torch(shape, kernel_size, dilation, dtype):
    x = random(*shape)
    fast, plain = runs(dilation, dtype)
    assert_equal(fast, plain, [x, *parameters(shape[-1], kernel_size)], dtype)
    assert fast(x, *parameters(shape[-1], kernel_size)).dtype == dtype


@pytest.mark.parametrize("kernel_size", [9, 31])
def test_large_kernels_take_several_programs_per_weight(kernel_size):
    fast, plain = runs(1, torch.float32)
    assert_equal(fast, plain, [random(1, 3, 4, 8), *parameters(8, kernel_size)], torch.float32)


@pytest.mark.parametrize(("dilation", "dtype"), [(1, torch.bfloat16), (2, torch.float32)], ids=str)
def test_two_columns_to_a_thread(monkeypatch, dtype, dilation):
    monkeypatch.setattr(depthwise, "_ENOUGH_PROGRAMS", 1)
    fast, plain = runs(dilation, dtype)
    assert_equal(fast, plain, [random(1, 2, 67, 8), *parameters(8, 3)], dtype)


@pytest.mark.parametrize(
    ("width", "kernel_size", "dilation"), [(28, 3, 1), (29, 7, 1), (29, 3, 3), (61, 3, 2)]
)
def test_rows_in_several_runs(width, kernel_size, dilation):
    fast, plain = runs(dilation, torch.float32)
    assert_equal(fast, plain, [random(1, 3, width, 8), *parameters(8, kernel_size)], torch.float32)


def test_runs_in_several_strips(monkeypatch):
    monkeypatch.setattr(launch, "_PROGRAMS", 6)
    fast, plain = runs(1, torch.float32)
    assert_equal(fast, plain, [random(2, 17, 3, 8), *parameters(8, 3)], torch.float32)


def test_more_columns_than_a_program():
    fast, plain = runs(1, torch.float32)
    assert_equal(fast, plain, [random(1, 1, 35, 33), *parameters(33, 3)], torch.float32)


def test_parameters_in_half_precision():
    fast, plain = runs(1, torch.float16)
    x = random(1, 2, 3, 8, dtype=torch.float16)
    assert_equal(fast, plain, [x, *parameters(8, 3, torch.float16)], torch.float16)


def test_empty_batch_gives_zero_gradients():
    x, weights = random(0, 4, 5, 8), parameters(8, 7)
    fast, _ = runs(1, torch.bfloat16)
    fast(x, *weights).sum().backward()
    assert x.grad.shape == x.shape
    assert all(p.grad.shape == p.shape and not p.grad.any() for p in weights)


def test_frozen_weight_and_plain_input():
    x, (weight, *vectors) = random(1, 3, 3, 8).detach(), parameters(8, 3)
    weight.requires_grad_(False)
    fast, _ = runs(1, torch.float32)
    fast(x, weight, *vectors).sum().backward()
    assert x.grad is None
    assert weight.grad is None
    assert all(p.grad is not None for p in vectors)


def test_sums_in_a_fixed_order():
    fast, _ = runs(1, torch.bfloat16)
    inputs = [random(2, 5, 4, 8), *parameters(8, 3)]
    grad = torch.randn(2, 5, 4, 8, device=DEVICE, dtype=torch.bfloat16)
    first, second = (torch.autograd.grad(fast(*inputs), inputs, grad) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_takes_any_strides():
    fast, plain = runs(1, torch.float32)
    x = random(1, 8, 3, 4).permute(0, 2, 3, 1)
    weights = parameters(8, 3)
    assert error(fast(x, *weights), plain(*(t.double() for t in (x, *weights)))) < 1e-5
