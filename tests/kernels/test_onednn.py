"""The CPU's fast paths against plain torch in float64, part by part."""

from importlib import import_module

import pytest
import torch

from convnext_dense.kernels import onednn, reference
from convnext_dense.kernels.onednn.depthwise import depthwise_weight_gradient

pytestmark = pytest.mark.skipif(
    not onednn.available(torch.float32), reason="torch has no oneDNN operators here"
)
TYPES = [
    pytest.param(
        dtype,
        marks=pytest.mark.skipif(
            not onednn.available(dtype), reason=f"no oneDNN operators for {dtype} here"
        ),
        id=str(dtype).removeprefix("torch."),
    )
    for dtype in (torch.float32, torch.bfloat16)
]
# Relative, of the whole tensor; in bfloat16 a few roundings add up.
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 4e-2}


def check(fast, plain, tensors, options, dtype):
    """Compare values and the gradients of every tensor; all of them start from the same values."""
    tensors = [t if t is None else t.to(dtype) for t in tensors]
    results = []
    for function, kind in ((fast, dtype), (plain, torch.float64)):
        inputs = [t if t is None else t.to(kind).requires_grad_() for t in tensors]
        out = function(*inputs, **options, **({"dtype": kind} if "dilation" in options else {}))
        torch.manual_seed(1)
        weights = torch.randn(out.shape, dtype=torch.float64)
        wanted = [t for t in inputs if t is not None]
        results.append([out, *torch.autograd.grad((out.double() * weights).sum(), wanted)])
    for i, (got, want) in enumerate(zip(*results, strict=True)):
        assert got.dtype == dtype
        error = (got.double() - want).norm() / want.norm()
        assert error < TOLERANCE[dtype], f"tensor {i}: {error:.1e}"


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("kernel_size", [3, 7])
@pytest.mark.parametrize("size", [(1, 1), (5, 3), (17, 26), (20, 9)], ids=str)
def test_conv_norm(size, kernel_size, dilation, dtype):
    channels = 24
    tensors = [
        torch.randn(2, *size, channels),
        torch.randn(channels, 1, kernel_size, kernel_size) / kernel_size,
        torch.randn(channels),
        torch.randn(channels),
        torch.randn(channels),
    ]

    def call(function):
        def conv_norm(x, conv_weight, conv_bias, norm_weight, norm_bias, dilation, dtype):
            return function(
                x, conv_weight, conv_bias, dilation, norm_weight, norm_bias, 1e-6, dtype
            )

        return conv_norm

    options = dict(dilation=dilation)
    check(call(onednn.conv_norm), call(reference.conv_norm), tensors, options, dtype)


def mlp_tensors(size, channels, gamma):
    return [
        torch.randn(*size, channels),
        torch.randn(*size, channels),
        torch.randn(4 * channels, channels) / channels**0.5,
        torch.randn(4 * channels),
        torch.randn(channels, 4 * channels) / channels**0.5,
        torch.randn(channels),
        torch.rand(channels) + 0.5 if gamma else None,
    ]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("gamma", [True, False], ids=["gamma", "plain"])
@pytest.mark.parametrize(
    ("size", "channels"), [((1, 1, 1), 8), ((2, 5, 7), 40), ((3, 4, 4), 96)], ids=str
)
def test_mlp(size, channels, gamma, dtype):
    tensors = mlp_tensors(size, channels, gamma)
    check(onednn.mlp, reference.mlp, tensors, dict(scale=1.25), dtype)


@pytest.mark.parametrize("dtype", TYPES)
def test_mlp_in_several_chunks(dtype, monkeypatch):
    channels = 16
    rows = 3 * 29 * 31
    module = import_module("convnext_dense.kernels.onednn.chunks")
    monkeypatch.setattr(module, "_MIN_ROWS", 100)
    monkeypatch.setattr(module, "_CHUNK_BYTES", 1)
    assert rows > 2 * 100 * torch.get_num_threads()
    tensors = mlp_tensors((3, 29, 31), channels, gamma=True)
    check(onednn.mlp, reference.mlp, tensors, dict(scale=1.0), dtype)
    with torch.no_grad():
        tensors = [t.to(dtype) for t in tensors]
        want = reference.mlp(*(t.double() for t in tensors), 1.0)
        error = (onednn.mlp(*tensors, 1.0).double() - want).abs().max() / want.abs().max()
    assert error < TOLERANCE[dtype]


def grn_call(function):
    def grn_mlp(shortcut, y, w1, b1, weight, bias, w2, b2, gamma):
        return function(shortcut, y, w1, b1, weight, bias, 1e-6, w2, b2, gamma, 0.8)

    return grn_mlp


def grn_tensors(size, channels, gamma):
    shortcut, y, w1, b1, w2, b2, layer_scale = mlp_tensors(size, channels, gamma)
    grn = torch.randn(4 * channels), torch.randn(4 * channels)
    return [shortcut, y, w1, b1, *grn, w2, b2, layer_scale]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("chunk", [16, 512], ids=["chunks", "whole"])
@pytest.mark.parametrize("gamma", [True, False], ids=["gamma", "plain"])
def test_grn_mlp(gamma, chunk, dtype, monkeypatch):
    module = import_module("convnext_dense.kernels.onednn.chunks")
    monkeypatch.setattr(module, "_CHUNK_BYTES", 1)
    monkeypatch.setattr(module, "_MIN_ROWS", chunk)
    tensors = grn_tensors((3, 6, 5), 24, gamma)
    check(grn_call(onednn.grn_mlp), grn_call(reference.grn_mlp), tensors, {}, dtype)
    with torch.no_grad():
        tensors = [t if t is None else t.to(dtype) for t in tensors]
        want = grn_call(reference.grn_mlp)(*(t if t is None else t.double() for t in tensors))
        got = grn_call(onednn.grn_mlp)(*tensors)
    assert (got.double() - want).norm() < TOLERANCE[dtype] * want.norm()


def test_a_channel_that_never_responds():
    tensors = grn_tensors((2, 4, 4), 8, True)
    tensors[2][5], tensors[3][5] = 0, 0
    check(grn_call(onednn.grn_mlp), grn_call(reference.grn_mlp), tensors, {}, torch.float32)


def test_depthwise_weight_gradient_sums_in_float32():
    # In bfloat16 a sum over so many equal values would stop growing at 256.
    x = torch.ones(1, 64, 64, 8, dtype=torch.bfloat16)
    gradient = depthwise_weight_gradient(x, x, kernel_size=3, dilation=1)
    assert gradient.shape == (8, 1, 3, 3)
    assert gradient[:, 0, 1, 1].unique().item() == 64 * 64
    assert gradient[:, 0, 0, 1].unique().item() == 63 * 64


def test_the_number_of_threads_may_change_before_the_backward_pass(monkeypatch):
    monkeypatch.setattr(import_module("convnext_dense.kernels.onednn.chunks"), "_MIN_ROWS", 16)
    monkeypatch.setattr(import_module("convnext_dense.kernels.onednn.chunks"), "_CHUNK_BYTES", 1)
    tensors = [t.requires_grad_() for t in mlp_tensors((1, 9, 7), 8, True)]
    want = torch.autograd.grad(onednn.mlp(*tensors, 1.0).sum(), tensors)
    out = onednn.mlp(*tensors, 1.0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    for got, expected in zip(torch.autograd.grad(out.sum(), tensors), want, strict=True):
        torch.testing.assert_close(got, expected)


def test_frozen_parameters_get_no_gradient():
    tensors = [t.requires_grad_(i < 2) for i, t in enumerate(mlp_tensors((1, 3, 3), 8, True))]
    onednn.mlp(*tensors, 1.0).sum().backward()
    assert all((t.grad is not None) == (i < 2) for i, t in enumerate(tensors))


def test_gradients_of_gradients():
    def penalty(conv_norm, mlp):
        torch.manual_seed(0)
        x = torch.randn(1, 6, 5, 8, requires_grad=True)
        conv = [torch.randn(8, 1, 3, 3), torch.randn(8)]
        norm = [torch.randn(8), torch.randn(8)]
        _, _, *mlp_parameters = mlp_tensors((1, 6, 5), 8, True)
        parameters = [p.requires_grad_() for p in (*conv, *norm, *mlp_parameters)]
        y = conv_norm(x, *parameters[:2], 1, *parameters[2:4], 1e-6, torch.float32)
        out = mlp(x, y, *parameters[4:], 1.0)
        # Again, so that what the second pass is given has a history with the same parameters.
        y = conv_norm(out, *parameters[:2], 1, *parameters[2:4], 1e-6, torch.float32)
        out = mlp(out, y, *parameters[4:], 1.0)
        first = torch.autograd.grad(out.square().sum(), (x, *parameters), create_graph=True)
        penalty = sum(gradient.square().mean() for gradient in first)
        return *first, *torch.autograd.grad(penalty, (x, *parameters))

    fast = penalty(onednn.conv_norm, onednn.mlp)
    plain = penalty(reference.conv_norm, reference.mlp)
    for got, want in zip(fast, plain, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-3 * want.abs().max().item())


def test_gradients_of_gradients_with_grn():
    def penalty(grn_mlp):
        torch.manual_seed(0)
        tensors = [t.requires_grad_() for t in grn_tensors((2, 4, 3), 8, True)]
        out = grn_call(grn_mlp)(*tensors)
        first = torch.autograd.grad(out.square().sum(), tensors, create_graph=True)
        return *first, *torch.autograd.grad(sum(g.square().mean() for g in first), tensors)

    for got, want in zip(penalty(onednn.grn_mlp), penalty(reference.grn_mlp), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-3 * want.abs().max().item())
