import importlib
import math
from types import SimpleNamespace

import pytest
import torch

from convnext_dense.upstream.ops import OPERATORS

SCALE = 0.25


def reference(features, rois, bins):
    """One bin after another; autograd differentiates it."""
    height, width = features.shape[2:]
    pooled = []
    for index, x1, y1, x2, y2 in rois.tolist():
        x1, y1, x2, y2 = x1 * SCALE, y1 * SCALE, (x2 + 1) * SCALE, (y2 + 1) * SCALE
        step_y, step_x = (y2 - y1) / bins[0], (x2 - x1) / bins[1]
        for row in range(bins[0]):
            for column in range(bins[1]):
                top, bottom = (
                    min(max(edge, 0), height)
                    for edge in (
                        math.floor(row * step_y + y1),
                        math.ceil((row + 1) * step_y + y1),
                    )
                )
                left, right = (
                    min(max(edge, 0), width)
                    for edge in (
                        math.floor(column * step_x + x1),
                        math.ceil((column + 1) * step_x + x1),
                    )
                )
                pixels = features[int(index), :, top:bottom, left:right].flatten(1)
                malformed = step_y <= 0 or step_x <= 0
                if malformed or not pixels.size(1):
                    pooled.append(features.new_zeros(features.size(1)))
                else:
                    pooled.append(pixels.max(dim=1).values)
    return torch.stack(pooled).view(len(rois), *bins, -1).permute(0, 3, 1, 2)


@pytest.fixture
def roi_pool(monkeypatch):
    """mmcv's wrapper over our operators, also where mmcv is compiled."""
    wrapper = importlib.import_module("mmcv.ops.roi_pool")
    monkeypatch.setattr(wrapper, "ext_module", SimpleNamespace(**OPERATORS))
    return lambda features, rois, bins=(3, 2): wrapper.roi_pool(features, rois, bins, SCALE)


# Inside, over two borders, outside, of the whole map, of one pixel, malformed.
ROIS = torch.tensor(
    [
        [0.0, 5, 6, 21, 17],
        [1, -9, -7, 13, 15],
        [1, 20, 12, 55, 47],
        [0, 100, 100, 130, 120],
        [0, 0, 0, 36, 28],
        [1, 8, 8, 11, 12],
        [0, 20, 20, 10, 10],
    ]
)


@pytest.mark.parametrize("bins", [(3, 2), (7, 7), (1, 1)])
def test_forward_and_gradient_equal_a_loop_over_bins(roi_pool, bins):
    features = torch.randn(2, 3, 7, 9).requires_grad_()
    pooled, expected = roi_pool(features, ROIS, bins), reference(features, ROIS, bins)
    assert torch.equal(pooled, expected)
    upstream = torch.randn_like(pooled)
    torch.testing.assert_close(
        torch.autograd.grad(pooled, features, upstream),
        torch.autograd.grad(expected, features, upstream),
    )


@pytest.mark.slow
def test_gradcheck(roi_pool):
    features = torch.randn(2, 3, 7, 9).double().requires_grad_()
    rois = ROIS.double()
    assert torch.autograd.gradcheck(lambda features: roi_pool(features, rois), features)


def test_no_rois(roi_pool):
    features = torch.randn(2, 3, 7, 9).requires_grad_()
    pooled = roi_pool(features, torch.zeros(0, 5))
    assert pooled.shape == (0, 3, 3, 2)
    assert not torch.autograd.grad(pooled.sum(), features)[0].any()


@pytest.mark.parametrize("dtype", [torch.half, torch.bfloat16])
def test_half_precision(roi_pool, dtype):
    features = torch.randn(2, 3, 7, 9).to(dtype).requires_grad_()
    pooled = roi_pool(features, ROIS)
    assert torch.equal(pooled, reference(features.float(), ROIS, (3, 2)).to(dtype))
    assert torch.autograd.grad(pooled.sum(), features)[0].dtype == dtype


def test_channels_last(roi_pool):
    features = torch.randn(2, 3, 7, 9)
    last = features.contiguous(memory_format=torch.channels_last)
    assert torch.equal(roi_pool(last, ROIS), roi_pool(features, ROIS))
