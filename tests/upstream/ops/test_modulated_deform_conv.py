import importlib

import pytest
import torch
import torch.nn.functional as F

import convnext_dense  # noqa: F401  (provides mmcv._ext where it is missing)
from convnext_dense.upstream import mmcv_ext
from convnext_dense.upstream.ops import modulated_deform_conv

pytest.importorskip("mmcv")
wrapper = importlib.import_module("mmcv.ops.modulated_deform_conv")

# stride, padding, dilation, groups, deform_groups; the kernel is 3 high and 2 wide.
GEOMETRIES = [
    (1, 1, 1, 1, 1),
    ((2, 1), (1, 2), (1, 2), 2, 1),
    ((1, 2), (2, 0), (2, 1), 1, 2),
]


@pytest.fixture
def ours(monkeypatch):
    """mmcv's wrapper over our functions, also where a compiled mmcv is installed."""
    monkeypatch.setattr(wrapper, "ext_module", modulated_deform_conv)


def make_case(geometry, with_bias=True, dtype=torch.float64, reach=2.0, batch=2):
    torch.manual_seed(0)
    stride, padding, dilation, groups, deform_groups = geometry
    input = torch.randn(batch, 4, 6, 5, dtype=dtype, requires_grad=True)
    weight = torch.randn(6, 4 // groups, 3, 2, dtype=dtype, requires_grad=True)
    bias = torch.randn(6, dtype=dtype, requires_grad=True) if with_bias else None
    out = F.conv2d(input, weight, None, stride, padding, dilation, groups).shape[-2:]
    offset = reach * torch.randn(batch, 12 * deform_groups, *out, dtype=dtype)
    mask = torch.rand(batch, 6 * deform_groups, *out, dtype=dtype)
    return input, offset.requires_grad_(), mask.requires_grad_(), weight, bias


@pytest.mark.slow
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_gradcheck(ours, geometry, with_bias):
    case = make_case(geometry, with_bias, batch=1)
    assert torch.autograd.gradcheck(
        lambda *tensors: wrapper.modulated_deform_conv2d(*tensors, *geometry), case
    )


def finer(values: torch.Tensor) -> torch.Tensor:
    """Offsets or masks of a level of twice the size, whose first values are the given ones."""
    batch, channels, height, width = values.shape
    rest = torch.randn(batch, values[0].numel() * 3, dtype=values.dtype)
    return torch.cat([values.flatten(1), rest], 1).view(batch, channels, 2 * height, 2 * width)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_offsets_of_a_finer_level_are_read_from_their_first_value_on(ours, geometry):
    # mmdet's DyHead gives them, and the compiled operator does not mind.
    input, offset, mask, weight, bias = make_case(geometry)
    larger = [finer(tensor.detach()).requires_grad_() for tensor in (offset, mask)]
    expected = wrapper.modulated_deform_conv2d(input, offset, mask, weight, bias, *geometry)
    output = wrapper.modulated_deform_conv2d(input, *larger, weight, bias, *geometry)
    torch.testing.assert_close(output, expected)
    grad = torch.randn_like(output)
    wanted = torch.autograd.grad(expected, (input, offset, mask), grad)
    found = torch.autograd.grad(output, (input, *larger), grad)
    torch.testing.assert_close(found[0], wanted[0])
    for large, small in zip(found[1:], wanted[1:], strict=True):
        number = small[0].numel()
        torch.testing.assert_close(large.flatten(1)[:, :number], small.flatten(1))
        assert not large.flatten(1)[:, number:].any()


def test_offsets_of_a_coarser_level_are_refused(ours):
    input, offset, mask, weight, bias = make_case(GEOMETRIES[0])
    with pytest.raises(ValueError, match="offset has shape"):
        wrapper.modulated_deform_conv2d(
            input, offset[..., :2, :2], mask[..., :2, :2], weight, bias, *GEOMETRIES[0]
        )


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_zero_offsets_and_a_constant_mask_make_a_convolution(ours, geometry):
    input, offset, mask, weight, bias = make_case(geometry, reach=0.0)
    stride, padding, dilation, groups, _ = geometry
    plain = F.conv2d(input, weight / 2, bias, stride, padding, dilation, groups)
    output = wrapper.modulated_deform_conv2d(
        input, offset, torch.full_like(mask, 0.5), weight, bias, *geometry
    )
    torch.testing.assert_close(output, plain)
    grad_output = torch.randn_like(plain)
    torch.testing.assert_close(
        torch.autograd.grad(output, (input, weight, bias), grad_output),
        torch.autograd.grad(plain, (input, weight, bias), grad_output),
    )


@pytest.mark.parametrize("bias", [True, False])
def test_layer_trains_under_autocast(ours, check_autocast, bias):
    torch.manual_seed(0)
    check_autocast(wrapper.ModulatedDeformConv2dPack(4, 6, 3, padding=1, bias=bias))


@pytest.mark.skipif(not mmcv_ext.is_compiled(), reason="needs a compiled mmcv")
@pytest.mark.parametrize("reach", [0.0, 2.0])
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_equals_compiled(monkeypatch, geometry, with_bias, reach):
    results = []
    for extension in (modulated_deform_conv, importlib.import_module("mmcv._ext")):
        monkeypatch.setattr(wrapper, "ext_module", extension)
        case = make_case(geometry, with_bias, torch.float32, reach)
        output = wrapper.modulated_deform_conv2d(*case, *geometry)
        torch.manual_seed(1)
        leaves = [tensor for tensor in case if tensor is not None]
        grads = torch.autograd.grad(output, leaves, torch.randn_like(output))
        results.append((output.detach(), *grads))
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-4)
