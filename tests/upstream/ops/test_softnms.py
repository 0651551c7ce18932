import importlib
import math
from types import SimpleNamespace

import pytest
import torch

from convnext_dense.upstream.ops import OPERATORS
from convnext_dense.upstream.ops.softnms import GAUSSIAN, LINEAR, NAIVE, softnms


def random_boxes(count):
    corners = torch.rand(count, 2) * 50
    return torch.cat([corners, corners + torch.rand(count, 2) * 30], dim=1)


def iou(a, b, offset):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + offset)
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + offset)
    area_a = (a[2] - a[0] + offset) * (a[3] - a[1] + offset)
    area_b = (b[2] - b[0] + offset) * (b[3] - b[1] + offset)
    return width * height / (area_a + area_b - width * height)


def reference(boxes, scores, threshold, sigma, min_score, method, offset):
    boxes = boxes.tolist()
    left = dict(enumerate(scores.tolist()))
    kept = []
    while left:
        best = max(left, key=left.get)
        kept.append((best, left.pop(best)))
        for i in list(left):
            overlap = iou(boxes[best], boxes[i], offset)
            if method == GAUSSIAN:
                left[i] *= math.exp(-(overlap**2) / sigma)
            elif overlap >= threshold:
                left[i] *= 1 - overlap if method == LINEAR else 0
            if left[i] < min_score:
                del left[i]
    return kept


@pytest.mark.parametrize("method", [NAIVE, LINEAR, GAUSSIAN])
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("min_score", [1e-3, 0.4])
def test_equals_the_definition(method, offset, min_score):
    boxes, scores = random_boxes(60).double(), torch.rand(60).double()
    dets = torch.full((60, 5), torch.nan).double()
    kept = softnms(boxes, scores, dets, 0.3, 0.5, min_score, method, offset)
    expected = reference(boxes, scores, 0.3, 0.5, min_score, method, offset)
    assert kept.tolist() == [index for index, _ in expected]
    assert torch.equal(dets[: len(kept), :4], boxes[kept])
    torch.testing.assert_close(
        dets[: len(kept), 4], torch.tensor([score for _, score in expected]).double()
    )


def test_leaves_the_scores_of_the_caller_alone():
    boxes, scores = random_boxes(20), torch.rand(20)
    before = scores.clone()
    softnms(boxes, scores, torch.zeros(20, 5), 0.3, 0.5, 1e-3, LINEAR, 0)
    assert torch.equal(scores, before)


@pytest.mark.parametrize("method", [NAIVE, LINEAR, GAUSSIAN])
def test_boxes_without_area_keep_their_scores(method):
    scores, dets = torch.tensor([0.9, 0.8]), torch.zeros(2, 5)
    softnms(torch.zeros(2, 4), scores, dets, 0.3, 0.5, 1e-3, method, 0)
    assert torch.equal(dets[:, 4], scores)


def test_nothing_in_nothing_out():
    kept = softnms(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, 5), 0.3, 0.5, 0.1, LINEAR, 0)
    assert kept.shape == (0,)
    assert kept.dtype == torch.int64


@pytest.mark.parametrize("method", ["naive", "linear", "gaussian"])
def test_through_mmcv(monkeypatch, method):
    wrapper = importlib.import_module("mmcv.ops.nms")
    monkeypatch.setattr(wrapper, "ext_module", SimpleNamespace(**OPERATORS))
    boxes, scores = random_boxes(40), torch.rand(40)
    dets, kept = wrapper.soft_nms(boxes, scores, 0.3, 0.5, 1e-2, method)
    code = ["naive", "linear", "gaussian"].index(method)
    expected = reference(boxes, scores, 0.3, 0.5, 1e-2, code, 0)
    assert kept.tolist() == [index for index, _ in expected]
    torch.testing.assert_close(dets[:, 4], torch.tensor([score for _, score in expected]))
