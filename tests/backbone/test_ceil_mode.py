"""Sizes that round up where the image is no multiple of the stride."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from convnext_dense import ConvNeXt
from convnext_dense.backbone.block import CeilConv2d

SMALL = dict(depths=(1, 1, 2, 1), channels=(8, 12, 16, 20))
TINY = dict(depths=(1, 1), channels=(8, 12))
ODD_SIZES = [(1, 1), (3, 5), (33, 63), (37, 66), (300, 4), (97, 128)]


class CountPads(TorchDispatchMode):
    """Counts the pad operators that run."""

    pads = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.pads += "pad" in func.overloadpacket.__name__
        return func(*args, **(kwargs or {}))


def pair(randomise, **kwargs):
    """A network without and one with the mode, of the same weights."""
    plain = randomise(ConvNeXt(SMALL, **kwargs)).eval()
    ceil = ConvNeXt(SMALL, ceil_mode=True, **kwargs).eval()
    ceil.load_state_dict(plain.state_dict())  # the same names and shapes, or it raises
    return plain, ceil


@pytest.mark.parametrize("size", ODD_SIZES, ids=str)
@pytest.mark.parametrize("output_stride", [32, 16, 8])
def test_sizes_round_up(output_stride, size):
    net = ConvNeXt(SMALL, output_stride=output_stride, ceil_mode=True)
    shapes = [tuple(output.shape[2:]) for output in net(torch.randn(1, 3, *size))]
    assert shapes == [
        tuple(math.ceil(side / stride) for side in size) for stride in net.out_strides
    ]


@pytest.mark.parametrize("output_stride", [32, 16, 8])
def test_multiples_of_the_stride_are_left_alone(output_stride, randomise):
    plain, ceil = pair(randomise, output_stride=output_stride)
    size = (96, 64) if output_stride == 32 else (output_stride * 3, output_stride * 5)
    image = torch.randn(2, 3, *size)
    with torch.no_grad():
        with CountPads() as of_plain:
            want = plain(image)
        with CountPads() as of_ceil:
            got = ceil(image)
    # With output_stride the downsamplings of the same size pad, in either mode.
    assert of_ceil.pads == of_plain.pads == {32: 0, 16: 1, 8: 2}[output_stride]
    for a, b in zip(got, want, strict=True):
        assert torch.equal(a, b)


def test_each_downsampling_pads_only_what_is_left_over():
    net = ConvNeXt(SMALL, ceil_mode=True).eval()
    for size, pads in [((32, 32), 0), ((30, 32), 1), ((36, 32), 3), ((48, 64), 1), ((33, 32), 4)]:
        with torch.no_grad(), CountPads() as counted:
            net(torch.randn(1, 3, *size))
        assert counted.pads == pads, size


@pytest.mark.parametrize("size", [(1, 1), (5, 8), (7, 6), (8, 8)], ids=str)
def test_zeros_on_the_right_and_at_the_bottom(size):
    conv = CeilConv2d(3, 4, kernel_size=4, stride=4)
    image = torch.randn(2, 3, *size)
    canvas = torch.zeros(2, 3, 8, 8)
    canvas[..., : size[0], : size[1]] = image
    want = F.conv2d(canvas, conv.weight, conv.bias, stride=4)
    rows, columns = (math.ceil(side / 4) for side in size)
    torch.testing.assert_close(conv(image), want[..., :rows, :columns])


def test_what_was_there_before_keeps_its_values(randomise):
    # One block sees 7x7 positions: those further than 3 from the added ones stay as they were.
    plain, ceil = pair(randomise, out_indices=(0,))
    image = torch.randn(1, 3, 41, 43)
    (want,), (got,) = plain(image), ceil(image)
    assert (want.shape[2:], got.shape[2:]) == ((10, 10), (11, 11))
    torch.testing.assert_close(got[..., :7, :7], want[..., :7, :7])
    assert not torch.allclose(got[..., :10, :10], want)


@pytest.mark.parametrize("grn", [False, True], ids=["v1", "v2"])
@pytest.mark.parametrize("size", [(1, 1), (37, 66)], ids=str)
def test_gradients(size, grn, randomise):
    net = randomise(ConvNeXt(SMALL | dict(grn=grn), ceil_mode=True))
    image = torch.randn(2, 3, *size, requires_grad=True)
    sum((output * torch.randn_like(output)).sum() for output in net(image)).backward()
    # The last pixels matter too: without the mode these sizes drop them.
    assert image.grad[..., -1, -1].abs().min() > 0
    for name, param in net.named_parameters():
        assert param.grad.isfinite().all(), name
        assert param.grad.stride() == param.stride(), name


def test_gradcheck():
    conv = CeilConv2d(2, 3, kernel_size=2, stride=2).double()
    image = torch.randn(1, 2, 3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(conv, (image,))


@pytest.mark.parametrize(
    "memory_format", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "last"]
)
def test_autocast_and_memory_format(memory_format, randomise):
    net = randomise(ConvNeXt(SMALL, ceil_mode=True)).eval()
    image = torch.randn(2, 3, 37, 66).to(memory_format=memory_format)
    want = net(image)
    with torch.autocast("cpu", torch.bfloat16):
        got = net(image)
    for low, high in zip(got, want, strict=True):
        assert high.is_contiguous(memory_format=memory_format)
        assert low.shape == high.shape
        assert (low.float() - high).norm() < 0.05 * high.norm()


@pytest.mark.slow
def test_compiles_as_one_graph(randomise):
    net = randomise(ConvNeXt(TINY, out_indices=(0, 1), ceil_mode=True)).eval()
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    for size in [(32, 48), (21, 30)]:
        image = torch.randn(1, 3, *size)
        torch.testing.assert_close(compiled(image), net(image), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_an_exported_graph_pads_whatever_it_gets(randomise):
    net = randomise(ConvNeXt(TINY, out_indices=(0, 1), ceil_mode=True)).eval()
    image = torch.randn(2, 3, 32, 48)  # which needs no pads
    free = {0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    program = torch.export.export(net, (image,), dynamic_shapes=(free,)).module()
    with torch.no_grad():
        traced = torch.jit.trace(net, image)
        for size in [(32, 48), (21, 30), (40, 33)]:
            other = torch.randn(3, 3, *size)
            torch.testing.assert_close(program(other), net(other), rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(traced(other), net(other), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_onnx(randomise, check_onnx):
    net = randomise(ConvNeXt(TINY, out_indices=(0, 1), ceil_mode=True)).eval()
    image = torch.randn(2, 3, 32, 48)  # which needs no pads
    check_onnx(net, image, [(32, 48), (21, 30)])
