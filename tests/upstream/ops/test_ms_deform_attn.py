import importlib
import itertools
import math

import pytest
import torch

import convnext_dense  # noqa: F401  (provides mmcv._ext where it is missing)
from convnext_dense.upstream.ops import ms_deform_attn

pytest.importorskip("mmcv")
wrapper = importlib.import_module("mmcv.ops.multi_scale_deform_attn")

SHAPES = torch.tensor([[4, 3], [2, 5]])
STARTS = torch.tensor([0, 12])


@pytest.fixture(autouse=True)
def ours(monkeypatch):
    """mmcv's wrapper over our functions, also where a compiled mmcv is installed."""
    monkeypatch.setattr(wrapper, "ext_module", ms_deform_attn)


def make_case(dtype=torch.float64, batch=2, queries=3):
    torch.manual_seed(0)
    heads, channels, levels, points = 2, 3, 2, 2
    value = torch.randn(batch, 22, heads, channels, dtype=dtype)
    # Some locations lie outside the map.
    locations = torch.rand(batch, queries, heads, levels, points, 2, dtype=dtype) * 1.6 - 0.3
    weights = torch.rand(batch, queries, heads, levels, points, dtype=dtype)
    return [tensor.requires_grad_() for tensor in (value, locations, weights)]


def attend(value, locations, weights):
    return wrapper.MultiScaleDeformableAttnFunction.apply(
        value, SHAPES, STARTS, locations, weights, 64
    )


def by_loops(value, locations, weights):
    """The definition, one sample at a time."""
    batch, queries, heads, levels, points, _ = locations.shape
    channels = value.shape[-1]
    output = value.new_zeros(batch, queries, heads, channels)
    ranges = map(range, (batch, queries, heads, levels, points))
    for n, q, head, level, point in itertools.product(*ranges):
        height, width = SHAPES[level].tolist()
        image = value[n, STARTS[level] :, head][: height * width].view(height, width, channels)
        x, y = locations[n, q, head, level, point].tolist()
        x, y = x * width - 0.5, y * height - 0.5
        top, left = math.floor(y), math.floor(x)
        for row, column in itertools.product((top, top + 1), (left, left + 1)):
            if 0 <= row < height and 0 <= column < width:
                share = (1 - abs(y - row)) * (1 - abs(x - column))
                output[n, q, head] += weights[n, q, head, level, point] * share * image[row, column]
    return output.flatten(2)


def test_forward_is_the_definition():
    case = [tensor.detach() for tensor in make_case()]
    torch.testing.assert_close(attend(*case), by_loops(*case), rtol=1e-12, atol=1e-12)


@pytest.mark.slow
def test_gradcheck():
    assert torch.autograd.gradcheck(attend, make_case(batch=1))


@pytest.mark.parametrize(("batch", "queries"), [(0, 3), (2, 0)])
def test_empty(batch, queries):
    case = make_case(batch=batch, queries=queries)
    output = attend(*case)
    assert output.shape == (batch, queries, 6)
    output.sum().backward()
    assert all(not tensor.grad.any() for tensor in case)


def test_half_precision_is_rounded_once():
    value, locations, weights = make_case(torch.bfloat16)
    output = attend(value, locations, weights)
    full = attend(*(tensor.detach().float() for tensor in (value, locations, weights)))
    assert output.dtype == torch.bfloat16
    assert torch.equal(output, full.bfloat16())
    output.sum().backward()
    assert value.grad.dtype == torch.bfloat16
    assert value.grad.isfinite().all()


def test_gives_what_the_layer_computes_on_the_cpu(monkeypatch):
    """The layer's CUDA path, taken on the CPU, against the path that it takes there."""
    torch.manual_seed(0)
    layer = wrapper.MultiScaleDeformableAttention(
        8, num_heads=2, num_levels=2, num_points=2, dropout=0.0
    )
    query, value = torch.randn(3, 2, 8), torch.randn(22, 2, 8)
    inputs = dict(
        value=value,
        reference_points=torch.rand(2, 3, 2, 2),
        spatial_shapes=SHAPES,
        level_start_index=STARTS,
    )
    results = []
    for cuda_path in (False, True):
        if cuda_path:
            monkeypatch.setattr(wrapper, "IS_MLU_AVAILABLE", True)
            monkeypatch.setattr(torch.Tensor, "is_mlu", True, raising=False)
        layer.zero_grad()
        output = layer(query, **inputs)
        output.square().sum().backward()
        results.append([output.detach(), *(p.grad.clone() for p in layer.parameters())])
    torch.testing.assert_close(*results)
