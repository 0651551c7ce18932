import importlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from convnext_dense.upstream.ops import OPERATORS
from convnext_dense.upstream.ops import nms as nms_module
from convnext_dense.upstream.ops.nms import nms, nms_match


def random_boxes(count, size=100.0):
    corners = torch.rand(count, 2) * size
    return torch.cat([corners, corners + torch.rand(count, 2) * size * 0.4], dim=1)


def iou(a, b, offset):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + offset)
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + offset)
    area_a = (a[2] - a[0] + offset) * (a[3] - a[1] + offset)
    area_b = (b[2] - b[0] + offset) * (b[3] - b[1] + offset)
    union = area_a + area_b - width * height
    return width * height / union if union else 0.0


def greedy(boxes, scores, threshold, offset=0):
    """The definition: take the best, drop what overlaps it, repeat."""
    boxes = boxes.tolist()
    rest = sorted(range(len(boxes)), key=lambda i: -scores[i].item())
    kept = []
    while rest:
        best = rest.pop(0)
        kept.append(best)
        rest = [i for i in rest if not iou(boxes[best], boxes[i], offset) > threshold]
    return kept


@pytest.mark.parametrize("count", [0, 1, 2, 127, 128, 129, 300])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("offset", [0, 1])
def test_keeps_what_the_definition_keeps(count, threshold, offset):
    boxes, scores = random_boxes(count).double(), torch.rand(count).double()
    kept = nms(boxes, scores, threshold, offset)
    assert kept.dtype == torch.int64
    assert kept.tolist() == greedy(boxes, scores, threshold, offset)


def test_a_chain_of_overlaps_longer_than_a_block_alternates():
    # Each box overlaps its neighbours alone: every second one stays.
    left = torch.arange(400.0) * 0.5
    boxes = torch.stack([left, torch.zeros(400), left + 1, torch.ones(400)], dim=1)
    scores = torch.linspace(1, 0, 400)
    assert nms(boxes, scores, 0.3).tolist() == list(range(0, 400, 2))


def test_equal_scores_keep_the_order_of_the_input():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10], [20, 20, 30, 30]])
    assert nms(boxes, torch.ones(3), 0.5).tolist() == [0, 2]


def test_an_overlap_equal_to_the_threshold_stays():
    boxes = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 1]])
    assert nms(boxes, torch.tensor([0.9, 0.8]), 0.5).tolist() == [0, 1]
    assert nms(boxes, torch.tensor([0.9, 0.8]), 0.4999).tolist() == [0]


def test_boxes_without_area_stay():
    assert nms(torch.zeros(3, 4), torch.tensor([0.1, 0.3, 0.2]), 0.5).tolist() == [1, 2, 0]


@pytest.mark.parametrize("dtype", [torch.half, torch.bfloat16])
def test_half_precision_boxes_are_compared_in_float32(dtype):
    boxes, scores = (random_boxes(200, 2000) / 8).to(dtype), torch.rand(200).to(dtype)
    assert nms(boxes, scores, 0.5).tolist() == nms(boxes.float(), scores.float(), 0.5).tolist()


def test_match_groups_each_box_with_the_one_that_suppressed_it():
    boxes, scores = random_boxes(150).double(), torch.rand(150).double()
    groups = nms_match(torch.cat([boxes, scores[:, None]], dim=1), 0.3)
    assert [group[0] for group in groups] == greedy(boxes, scores, 0.3)
    assert sorted(index for group in groups for index in group) == list(range(150))
    for leader, *members in groups:
        assert all(iou(boxes[leader], boxes[i], 0) >= 0.3 for i in members)
        assert scores[members].tolist() == sorted(scores[members].tolist(), reverse=True)


@pytest.mark.parametrize("offset", [0, 1])
def test_torchvision_gets_boxes_with_the_same_overlaps(monkeypatch, offset):
    boxes, scores = random_boxes(100).round().double(), torch.rand(100).double()
    expected = nms(boxes, scores, 0.4, offset)

    def torchvision_nms(boxes, scores, threshold):
        return torch.tensor(greedy(boxes, scores, threshold))

    monkeypatch.setattr(
        nms_module, "torchvision_ops", lambda device: SimpleNamespace(nms=torchvision_nms)
    )
    assert torch.equal(nms(boxes, scores, 0.4, offset), expected)


class TestThroughMmcv:
    @pytest.fixture(autouse=True)
    def mmcv_ops(self, monkeypatch):
        wrapper = importlib.import_module("mmcv.ops.nms")
        monkeypatch.setattr(wrapper, "ext_module", SimpleNamespace(**OPERATORS))
        return wrapper

    def test_score_threshold_and_max_num(self, mmcv_ops):
        boxes, scores = random_boxes(100), torch.rand(100)
        dets, kept = mmcv_ops.nms(boxes, scores, 0.5, score_threshold=0.4, max_num=7)
        expected = [i for i in greedy(boxes, scores, 0.5) if scores[i] > 0.4][:7]
        assert kept.tolist() == expected
        assert torch.equal(dets, torch.cat([boxes, scores[:, None]], dim=1)[expected])

    def test_numpy_in_numpy_out(self, mmcv_ops):
        boxes, scores = random_boxes(50), torch.rand(50)
        dets, kept = mmcv_ops.nms(boxes.numpy(), scores.numpy(), 0.5)
        assert isinstance(dets, np.ndarray)
        assert kept.tolist() == greedy(boxes, scores, 0.5)

    @pytest.mark.parametrize("split_thr", [10000, 10])
    def test_batched_nms_never_suppresses_across_classes(self, mmcv_ops, split_thr):
        boxes, scores, labels = random_boxes(120), torch.rand(120), torch.randint(0, 3, (120,))
        config = {"type": "nms", "iou_threshold": 0.3, "split_thr": split_thr}
        dets, kept = mmcv_ops.batched_nms(boxes, scores, labels, config)
        expected = []
        for label in range(3):
            members = (labels == label).nonzero()[:, 0]
            expected += members[greedy(boxes[members], scores[members], 0.3)].tolist()
        assert kept.tolist() == sorted(expected, key=lambda i: -scores[i].item())
        assert torch.equal(dets, torch.cat([boxes, scores[:, None]], dim=1)[kept])

    def test_class_agnostic(self, mmcv_ops):
        boxes, scores, labels = random_boxes(60), torch.rand(60), torch.arange(60)
        config = {"type": "nms", "iou_threshold": 0.3, "class_agnostic": True}
        _, kept = mmcv_ops.batched_nms(boxes, scores, labels, config)
        assert kept.tolist() == greedy(boxes, scores, 0.3)

    def test_nothing_in_nothing_out(self, mmcv_ops):
        dets, kept = mmcv_ops.nms(torch.zeros(0, 4), torch.zeros(0), 0.5)
        assert dets.shape == (0, 5)
        assert kept.shape == (0,)
