"""Ours beside the compiled operators of mmcv on random cases, where those are installed."""

import pytest
import torch

from convnext_dense import ConvNeXt
from convnext_dense.upstream import mmcv_ext
from convnext_dense.upstream.ops import OPERATORS

compiled = pytest.importorskip("mmcv._ext", reason="no mmcv is installed")
if not mmcv_ext.is_compiled():
    pytest.skip("no compiled mmcv is installed", allow_module_level=True)


def random_boxes(count, size=100.0):
    corners = torch.rand(count, 2) * size
    return torch.cat([corners, corners + torch.rand(count, 2) * size * 0.4], dim=1)


@pytest.mark.parametrize("count", [0, 1, 128, 129, 2000])
@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.7])
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("whole", [True, False], ids=["whole pixels", "fractions"])
def test_nms(count, threshold, offset, whole):
    boxes, scores = random_boxes(count), torch.rand(count)
    if whole:
        boxes = boxes.round()
    arguments = {"iou_threshold": threshold, "offset": offset}
    expected = compiled.nms(boxes, scores, **arguments)
    assert torch.equal(OPERATORS["nms"](boxes, scores, **arguments), expected)


def test_nms_match():
    dets = torch.cat([random_boxes(300), torch.rand(300, 1)], dim=1)
    assert OPERATORS["nms_match"](dets, 0.5) == compiled.nms_match(dets, 0.5)


@pytest.mark.parametrize("method", [0, 1, 2])
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("min_score", [1e-3, 0.3])
def test_softnms(method, offset, min_score):
    boxes, scores = random_boxes(200), torch.rand(200)
    ours, theirs = torch.zeros(200, 5), torch.zeros(200, 5)
    arguments = (0.3, 0.5, min_score, method, offset)
    kept = OPERATORS["softnms"](boxes, scores, ours, *arguments)
    assert torch.equal(kept, compiled.softnms(boxes, scores, theirs, *arguments))
    torch.testing.assert_close(ours[: len(kept)], theirs[: len(kept)])


@pytest.mark.parametrize("bins", [(7, 7), (3, 5)])
@pytest.mark.parametrize("sampling_ratio", [0, 2])
@pytest.mark.parametrize("pool_mode", [0, 1], ids=["max", "average"])
@pytest.mark.parametrize("aligned", [True, False])
def test_roi_align(bins, sampling_ratio, pool_mode, aligned):
    features = torch.randn(2, 5, 25, 38)
    rois = torch.cat([torch.randint(0, 2, (200, 1)), random_boxes(200) - 10], dim=1)
    arguments = (*bins, 0.25, sampling_ratio, pool_mode, aligned)
    upstream = torch.randn(200, 5, *bins)
    results = []
    for operators in (OPERATORS, vars(compiled)):
        pooled = torch.zeros_like(upstream)
        argmax = [torch.zeros_like(upstream if pool_mode == 0 else features[:0]) for _ in "yx"]
        gradient = torch.zeros_like(features)
        operators["roi_align_forward"](features, rois, pooled, *argmax, *arguments)
        operators["roi_align_backward"](upstream, rois, *argmax, gradient, *arguments)
        results.append((pooled, *argmax, gradient))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_roi_align_of_the_backbones_maps():
    # The compiled operator reads memory as contiguous, whatever the strides are.
    net = ConvNeXt(dict(depths=(1,), channels=(5,)), out_indices=(0,))
    features = net(torch.randn(2, 3, 100, 152))[0].detach()
    rois = torch.cat([torch.randint(0, 2, (50, 1)), random_boxes(50)], dim=1)
    results = []
    for operators in (OPERATORS, vars(compiled)):
        pooled = torch.zeros(50, 5, 7, 7)
        argmax = torch.zeros(0), torch.zeros(0)
        operators["roi_align_forward"](features, rois, pooled, *argmax, 7, 7, 0.25, 0, 1, True)
        results.append(pooled)
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-4)
