import importlib
import math
from types import SimpleNamespace

import pytest
import torch

from convnext_dense.upstream.ops import OPERATORS
from convnext_dense.upstream.ops import roi_align as roi_align_module
from convnext_dense.upstream.ops.roi_align import AVERAGE, MAX

SCALE = 0.25
MODES = pytest.mark.parametrize("mode", [MAX, AVERAGE], ids=["max", "average"])
ALIGNED = pytest.mark.parametrize("aligned", [True, False], ids=["aligned", "legacy"])
RATIO = pytest.mark.parametrize("ratio", [0, 1, 3])


def bilinear(plane, y, x):
    """Value of one (C, H, W) map at one place, by the four pixels around it."""
    height, width = plane.shape[1:]
    if y < -1 or y > height or x < -1 or x > width:
        return plane.new_zeros(len(plane))
    y, x = min(max(y, 0.0), height - 1), min(max(x, 0.0), width - 1)
    top, left = math.floor(y), math.floor(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    v, u = y - top, x - left
    return (
        (1 - v) * (1 - u) * plane[:, top, left]
        + (1 - v) * u * plane[:, top, right]
        + v * (1 - u) * plane[:, bottom, left]
        + v * u * plane[:, bottom, right]
    )


def reference(features, rois, bins, ratio, mode, aligned):
    """One sample after another; autograd differentiates it."""
    shift = 0.5 if aligned else 0.0
    pooled = []
    for index, *box in rois.tolist():
        x1, y1, x2, y2 = (side * SCALE - shift for side in box)
        height, width = y2 - y1, x2 - x1
        if not aligned:
            height, width = max(height, 1.0), max(width, 1.0)
        step_y, step_x = height / bins[0], width / bins[1]
        count_y, count_x = ratio or math.ceil(step_y), ratio or math.ceil(step_x)
        for row in range(bins[0]):
            for column in range(bins[1]):
                samples = [
                    bilinear(
                        features[int(index)],
                        y1 + (row + (i + 0.5) / count_y) * step_y,
                        x1 + (column + (j + 0.5) / count_x) * step_x,
                    )
                    for i in range(count_y)
                    for j in range(count_x)
                ]
                if not samples:
                    pooled.append(features.new_zeros(features.size(1)))
                elif mode == AVERAGE:
                    pooled.append(torch.stack(samples).mean(dim=0))
                else:
                    pooled.append(torch.stack(samples).max(dim=0).values)
    return torch.stack(pooled).view(len(rois), *bins, -1).permute(0, 3, 1, 2)


@pytest.fixture(params=["few channels", "many channels"])
def roi_align(request, monkeypatch):
    """mmcv's wrapper over our operators, also where mmcv is compiled."""
    if request.param == "many channels":
        monkeypatch.setattr(roi_align_module, "FEW_CHANNELS", 0)
    wrapper = importlib.import_module("mmcv.ops.roi_align")
    monkeypatch.setattr(wrapper, "ext_module", SimpleNamespace(**OPERATORS))

    def run(features, rois, bins=(3, 2), ratio=0, mode=AVERAGE, aligned=True):
        return wrapper.roi_align(features, rois, bins, SCALE, ratio, ["max", "avg"][mode], aligned)

    return run


def some_rois(dtype=torch.double):
    """Inside, over each border, outside, of the whole map, of one pixel, without area."""
    return torch.tensor(
        [
            [0, 5, 6, 21, 17],
            [1, -9, -7, 13, 15],
            [1, 20, 12, 55, 47],
            [0, 100, 100, 130, 120],
            [0, 0, 0, 36, 28],
            [1, 8, 8, 11, 12],
            [0, 10, 10, 10, 10],
            [1, 3, 7, 30, 7],
        ],
        dtype=dtype,
    )


def some_features(dtype=torch.double):
    return torch.randn(2, 3, 7, 9, dtype=dtype)


@pytest.mark.slow
@MODES
@ALIGNED
@RATIO
def test_forward_and_gradient_equal_a_loop_over_samples(roi_align, mode, aligned, ratio):
    features, rois = some_features().requires_grad_(), some_rois()
    pooled = roi_align(features, rois, (3, 2), ratio, mode, aligned)
    expected = reference(features, rois, (3, 2), ratio, mode, aligned)
    torch.testing.assert_close(pooled, expected)
    upstream = torch.randn_like(pooled)
    (gradient,) = torch.autograd.grad(pooled, features, upstream)
    (expected_gradient,) = torch.autograd.grad(expected, features, upstream)
    torch.testing.assert_close(gradient, expected_gradient)


@pytest.mark.slow
@MODES
@ALIGNED
def test_gradcheck(roi_align, mode, aligned):
    features = some_features().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda features: roi_align(features, some_rois(), mode=mode, aligned=aligned), features
    )


def test_more_rois_than_one_matrix_holds(roi_align, monkeypatch):
    features, rois = some_features().requires_grad_(), some_rois()
    whole = roi_align(features, rois)
    (gradient,) = torch.autograd.grad(whole.sum(), features)
    monkeypatch.setattr(roi_align_module, "MOST_ROIS", 3)
    pooled = roi_align(features, rois)
    torch.testing.assert_close(pooled, whole)
    torch.testing.assert_close(torch.autograd.grad(pooled.sum(), features)[0], gradient)


@MODES
def test_no_rois(roi_align, mode):
    features = some_features().requires_grad_()
    pooled = roi_align(features, torch.zeros(0, 5).double(), mode=mode)
    assert pooled.shape == (0, 3, 3, 2)
    assert not torch.autograd.grad(pooled.sum(), features)[0].any()


@MODES
def test_no_rois_on_no_images(roi_align, mode):
    assert roi_align(torch.zeros(0, 3, 7, 9), torch.zeros(0, 5), mode=mode).shape == (0, 3, 3, 2)


@MODES
@RATIO
@pytest.mark.parametrize("box", [[20, 20, 4, 8], [math.nan] * 4, [0, 0, math.inf, 9]])
def test_an_impossible_roi_poisons_no_other(roi_align, mode, ratio, box):
    features, rois = some_features(), some_rois()
    bad = torch.tensor([[0, *box]], dtype=torch.double)
    pooled = roi_align(features, torch.cat([bad, rois]), ratio=ratio, mode=mode)
    torch.testing.assert_close(pooled[1:], roi_align(features, rois, ratio=ratio, mode=mode))
    assert pooled[0].isfinite().all()


@MODES
def test_channels_last(roi_align, mode):
    features = some_features()
    last = features.contiguous(memory_format=torch.channels_last).requires_grad_()
    first = features.requires_grad_()
    pooled, expected = (roi_align(each, some_rois(), mode=mode) for each in (last, first))
    torch.testing.assert_close(pooled, expected)
    torch.testing.assert_close(
        torch.autograd.grad(pooled.square().sum(), last),
        torch.autograd.grad(expected.square().sum(), first),
    )


@MODES
@pytest.mark.parametrize("dtype", [torch.half, torch.bfloat16])
def test_half_precision_features_are_summed_in_float32(roi_align, mode, dtype):
    features, rois = some_features(dtype).requires_grad_(), some_rois(torch.float)
    with torch.autocast("cpu", dtype):
        pooled = roi_align(features, rois, mode=mode)
    exact = roi_align(features.float(), rois, mode=mode)
    assert pooled.dtype == dtype
    assert torch.equal(pooled, exact.to(dtype))
    gradient = torch.autograd.grad(pooled.sum(), features)[0]
    assert gradient.dtype == dtype
    assert gradient.isfinite().all()


def test_float32_under_autocast_stays_exact(roi_align):
    features, rois = some_features(torch.float).requires_grad_(), some_rois(torch.float)
    exact = roi_align(features, rois)
    (exact_gradient,) = torch.autograd.grad(exact.sum(), features)
    with torch.autocast("cpu", torch.bfloat16):
        pooled = roi_align(features, rois)
        (gradient,) = torch.autograd.grad(pooled.sum(), features)
    assert torch.equal(pooled, exact)
    assert torch.equal(gradient, exact_gradient)


@pytest.mark.parametrize("aligned", [True, False])
def test_torchvision_gets_the_same_question(roi_align, monkeypatch, aligned):
    asked = []

    def forward(features, rois, scale, height, width, ratio, aligned):
        asked.append(scale)
        return reference(features, rois, (height, width), ratio, AVERAGE, aligned)

    def backward(gradient, rois, scale, height, width, *shape_ratio_aligned):
        *shape, ratio, aligned = shape_ratio_aligned
        asked.append(scale)
        with torch.enable_grad():
            features = gradient.new_zeros(shape).requires_grad_()
            pooled = reference(features, rois, (height, width), ratio, AVERAGE, aligned)
        return torch.autograd.grad(pooled, features, gradient)[0]

    features, rois = some_features(torch.half).requires_grad_(), some_rois(torch.float)
    plain = roi_align(features, rois, aligned=aligned)
    (plain_gradient,) = torch.autograd.grad(plain.sum(), features)
    torchvision = SimpleNamespace(roi_align=forward, _roi_align_backward=backward)
    monkeypatch.setattr(roi_align_module, "torchvision_ops", lambda device: torchvision)
    pooled = roi_align(features, rois, aligned=aligned)
    (gradient,) = torch.autograd.grad(pooled.sum(), features)
    assert asked == [SCALE, SCALE]
    assert pooled.dtype == gradient.dtype == torch.half
    torch.testing.assert_close(pooled, plain)
    torch.testing.assert_close(gradient, plain_gradient)
    # torchvision has no max mode.
    roi_align(features, rois, mode=MAX, aligned=aligned)
    assert asked == [SCALE, SCALE]
