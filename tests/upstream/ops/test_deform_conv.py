import importlib

import pytest
import torch
import torch.nn.functional as F

import convnext_dense  # noqa: F401  (provides mmcv._ext where it is missing)
from convnext_dense.upstream import mmcv_ext
from convnext_dense.upstream.ops import deform_conv

pytest.importorskip("mmcv")
wrapper = importlib.import_module("mmcv.ops.deform_conv")

# stride, padding, dilation, groups, deform_groups; the kernel is 3 high and 2 wide.
GEOMETRIES = [
    (1, 1, 1, 1, 1),
    ((2, 1), (1, 2), (1, 2), 2, 1),
    ((1, 2), (2, 0), (2, 1), 1, 2),
]


@pytest.fixture
def ours(monkeypatch):
    """mmcv's wrapper over our functions, also where a compiled mmcv is installed."""
    monkeypatch.setattr(wrapper, "ext_module", deform_conv)


def make_case(geometry, dtype=torch.float64, reach=2.0, batch=2):
    torch.manual_seed(0)
    stride, padding, dilation, groups, deform_groups = geometry
    input = torch.randn(batch, 4, 6, 5, dtype=dtype, requires_grad=True)
    weight = torch.randn(6, 4 // groups, 3, 2, dtype=dtype, requires_grad=True)
    out = F.conv2d(input, weight, None, stride, padding, dilation, groups).shape[-2:]
    offset = reach * torch.randn(batch, 12 * deform_groups, *out, dtype=dtype)
    return input, offset.requires_grad_(), weight


@pytest.mark.slow
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_gradcheck(ours, geometry):
    assert torch.autograd.gradcheck(
        lambda *case: wrapper.deform_conv2d(*case, *geometry), make_case(geometry, batch=1)
    )


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_zero_offsets_make_a_convolution(ours, geometry):
    input, offset, weight = make_case(geometry, reach=0.0)
    stride, padding, dilation, groups, _ = geometry
    plain = F.conv2d(input, weight, None, stride, padding, dilation, groups)
    output = wrapper.deform_conv2d(input, offset, weight, *geometry)
    torch.testing.assert_close(output, plain)
    grad_output = torch.randn_like(plain)
    torch.testing.assert_close(
        torch.autograd.grad(output, (input, weight), grad_output),
        torch.autograd.grad(plain, (input, weight), grad_output),
    )


def test_weight_gradient_is_scaled_and_added():
    input, offset, weight = (t.detach() for t in make_case(GEOMETRIES[0]))
    empty = torch.empty(0)
    sizes = dict(kW=2, kH=3, dW=1, dH=1, padW=1, padH=1, dilationW=1, dilationH=1)
    sizes |= dict(group=1, deformable_group=1, im2col_step=1)
    grad_output = torch.ones(2, 6, 6, 6, dtype=torch.float64)
    once, buffer = torch.zeros_like(weight), torch.ones_like(weight)
    for target, scale in ((once, 1), (buffer, 0.5)):
        deform_conv.deform_conv_backward_parameters(
            input, offset, grad_output, target, empty, empty, scale=scale, **sizes
        )
    assert once.any()
    torch.testing.assert_close(buffer, 1 + 0.5 * once)


def test_layer_smaller_than_its_kernel(ours):
    layer = wrapper.DeformConv2d(2, 3, 3, padding=1)
    input = torch.randn(1, 2, 2, 2)
    output = layer(input, torch.zeros(1, 18, 2, 2))
    torch.testing.assert_close(output, F.conv2d(input, layer.weight, padding=1))


def test_layer_trains_under_autocast(ours, check_autocast):
    torch.manual_seed(0)
    check_autocast(wrapper.DeformConv2dPack(4, 6, 3, padding=1))


@pytest.mark.skipif(not mmcv_ext.is_compiled(), reason="needs a compiled mmcv")
@pytest.mark.parametrize("reach", [0.0, 2.0])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_equals_compiled(monkeypatch, geometry, reach):
    results = []
    for extension in (deform_conv, importlib.import_module("mmcv._ext")):
        monkeypatch.setattr(wrapper, "ext_module", extension)
        case = make_case(geometry, torch.float32, reach)
        output = wrapper.deform_conv2d(*case, *geometry)
        torch.manual_seed(1)
        grads = torch.autograd.grad(output, case, torch.randn_like(output))
        results.append((output.detach(), *grads))
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-4)
