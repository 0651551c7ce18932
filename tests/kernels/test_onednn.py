"""The CPU's fast path against plain torch in float64, half by half."""

import pytest
import torch

from convnext_dense.kernels import ConvNormParameters, MLPParameters, onednn, reference
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
both_versions = pytest.mark.parametrize("grn", [False, True], ids=["v1", "v2"])
# Of channels, positions and samples that are cut into several parts, more than one to a sample.
SEVERAL_PARTS = ((2, 96, 90), 64)


def conv_norm(path, dilation=1):
    """A path's first half as a function of its input and its tensors, in their type."""

    def run(x, *tensors):
        return path.conv_norm(x, ConvNormParameters(*tensors, dilation, 1e-6), x.dtype)

    return run


def mlp(path, scale=1.25):
    """A path's second half as a function of shortcut, map and tensors."""

    def run(shortcut, y, *tensors):
        return path.mlp(shortcut, y, MLPParameters(*tensors, grn_eps=1e-6), scale)

    return run


def conv_norm_tensors(size, channels, kernel_size):
    return [
        torch.randn(*size, channels),
        torch.randn(channels, 1, kernel_size, kernel_size) / kernel_size,
        *(torch.randn(channels) for _ in range(3)),
    ]


def mlp_tensors(size, channels, gamma=True, grn=False):
    return [
        torch.randn(*size, channels),
        torch.randn(*size, channels),
        torch.randn(4 * channels, channels) / channels**0.5,
        torch.randn(4 * channels),
        torch.randn(channels, 4 * channels) / channels**0.5,
        torch.randn(channels),
        torch.rand(channels) + 0.5 if gamma else None,
        *(torch.randn(4 * channels) if grn else None for _ in range(2)),
    ]


def check(half, tensors, dtype, **options):
    """Compare values, without gradients too, and the gradients of every tensor."""
    tensors = [t if t is None else t.to(dtype) for t in tensors]
    results = []
    for path, kind in ((onednn, dtype), (reference, torch.float64)):
        inputs = [t if t is None else t.to(kind).requires_grad_() for t in tensors]
        out = half(path, **options)(*inputs)
        torch.manual_seed(1)
        weights = torch.randn(out.shape, dtype=torch.float64)
        wanted = [t for t in inputs if t is not None]
        gradients = torch.autograd.grad((out.double() * weights).sum(), wanted)
        with torch.no_grad():
            results.append([out, half(path, **options)(*inputs), *gradients])
    for i, (got, want) in enumerate(zip(*results, strict=True)):
        assert got.dtype == dtype
        error = (got.double() - want).norm() / want.norm()
        assert error < TOLERANCE[dtype], f"tensor {i}: {error:.1e}"


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("kernel_size", [3, 7])
@pytest.mark.parametrize("size", [(1, 1), (5, 3), (17, 26), (20, 9)], ids=str)
def test_conv_norm(size, kernel_size, dilation, dtype):
    tensors = conv_norm_tensors((2, *size), 24, kernel_size)
    check(conv_norm, tensors, dtype, dilation=dilation)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("gamma", [True, False], ids=["gamma", "plain"])
@pytest.mark.parametrize(
    ("size", "channels"), [((1, 1, 1), 8), ((2, 5, 7), 40), ((3, 4, 4), 96)], ids=str
)
@both_versions
def test_mlp(grn, size, channels, gamma, dtype):
    check(mlp, mlp_tensors(size, channels, gamma, grn), dtype)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", TYPES)
@both_versions
def test_mlp_in_several_parts(grn, dtype):
    check(mlp, mlp_tensors(*SEVERAL_PARTS, grn=grn), dtype)


def test_a_channel_that_never_responds():
    tensors = mlp_tensors((2, 4, 4), 8, grn=True)
    tensors[2][5], tensors[3][5] = 0, 0
    check(mlp, tensors, torch.float32)


def test_depthwise_weight_gradient_sums_in_float32():
    # In bfloat16 a sum over so many equal values would stop growing at 256.
    x = torch.ones(1, 64, 64, 8, dtype=torch.bfloat16)
    gradient = depthwise_weight_gradient(x, x, kernel_size=3, dilation=1)
    assert gradient.shape == (8, 1, 3, 3)
    assert gradient[:, 0, 1, 1].unique().item() == 64 * 64
    assert gradient[:, 0, 0, 1].unique().item() == 63 * 64


@pytest.mark.slow
@both_versions
def test_the_number_of_threads_may_change_before_the_backward_pass(grn):
    tensors = [t if t is None else t.requires_grad_() for t in mlp_tensors(*SEVERAL_PARTS, grn=grn)]
    wanted = [t for t in tensors if t is not None]
    want = torch.autograd.grad(mlp(onednn)(*tensors).sum(), wanted)
    out = mlp(onednn)(*tensors)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 2)
    try:
        gradients = torch.autograd.grad(out.sum(), wanted)
    finally:
        torch.set_num_threads(threads)
    for got, expected in zip(gradients, want, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4 * expected.abs().max())


def test_frozen_parameters_get_no_gradient():
    tensors = [
        t if t is None else t.requires_grad_(i < 2)
        for i, t in enumerate(mlp_tensors((1, 3, 3), 8, gamma=True))
    ]
    mlp(onednn)(*tensors).sum().backward()
    assert all(t is None or (t.grad is not None) == (i < 2) for i, t in enumerate(tensors))


@both_versions
def test_gradients_of_gradients(grn):
    x = torch.randn(1, 6, 5, 8, requires_grad=True)
    _, *conv = conv_norm_tensors((1, 6, 5), 8, 3)
    _, _, *second = mlp_tensors((1, 6, 5), 8, grn=grn)
    tensors = [x, *(t.requires_grad_() for t in (*conv, *second) if t is not None)]

    def first_and_second(path):
        out = x
        # Twice, so that what the second pass is given has a history with the same parameters.
        for _ in range(2):
            out = mlp(path)(out, conv_norm(path)(out, *conv), *second)
        first = torch.autograd.grad(out.square().sum(), tensors, create_graph=True)
        penalty = sum(gradient.square().mean() for gradient in first)
        return *first, *torch.autograd.grad(penalty, tensors)

    for got, want in zip(first_and_second(onednn), first_and_second(reference), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-3 * want.abs().max().item())


@pytest.mark.slow
@pytest.mark.parametrize("dtype", TYPES)
def test_gradients_of_the_norm_over_many_positions(dtype):
    # On CPUs torch's own layer norm sums them in bfloat16: the bias's would be wrong by two thirds.
    x, weight, *vectors = conv_norm_tensors((1, 160, 200), 32, 3)
    grad = torch.randn(x.shape) + 0.1
    gradients = []
    for path, kind in ((onednn, dtype), (reference, torch.float64)):
        inputs = [t.to(kind).requires_grad_() for t in (x, weight, *vectors)]
        parameters = ConvNormParameters(*inputs[1:], 1, 1e-6)
        out = path.conv_norm(inputs[0], parameters, kind)
        gradients.append(torch.autograd.grad(out, inputs[3:], grad.to(dtype).to(kind)))
    for own, exact in zip(*gradients, strict=True):
        assert (own.double() - exact).norm() < 5e-3 * exact.norm()
