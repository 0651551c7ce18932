"""Operators that ignore a flag, lose a gradient or fail are found by name."""

import inspect

import pytest
import torch

import convnext_dense
from convnext_dense.doctor.finding import Examination, Verdict
from convnext_dense.doctor.operators import check_operators, check_operators_in_amp

convnext_dense.enable()
import mmcv.ops  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture
def examination(tmp_path):
    return Examination(tmp_path, tmp_path)


def wrong(findings):
    return {f.name.split()[1]: f.detail for f in findings if f.verdict is Verdict.WRONG}


def test_our_operators_are_equal_to_their_definitions(examination):
    found = [*check_operators(examination)]
    found += check_operators_in_amp(examination, torch.device("cpu"))
    assert [f.name for f in found if f.verdict is not Verdict.FIT] == []
    assert len(found) == 14


def ignoring(operator, **fixed):
    """The operator with some of its arguments replaced."""
    signature = inspect.signature(operator)

    def call(*args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        bound.arguments.update(fixed)
        return operator(*bound.args, **bound.kwargs)

    return call


def roi_align(x, rois, size, scale, samples, mode, aligned):
    return mmcv.ops.RoIAlign(size, scale, samples, mode, aligned)(x, rois)


def nms(boxes, scores, threshold, offset):
    return REAL_NMS(boxes, scores, threshold, offset)


def soft_nms(boxes, scores, threshold, sigma, min_score, method):
    return REAL_SOFT_NMS(boxes, scores, threshold, sigma, min_score, method)


REAL_NMS, REAL_SOFT_NMS = mmcv.ops.nms, mmcv.ops.soft_nms
REAL_DEFORM = mmcv.ops.deform_conv2d


@pytest.mark.parametrize(
    ("name", "attribute", "operator", "fixed", "said"),
    [
        ("roi_align", "roi_align", roi_align, {"aligned": True}, "aligned False"),
        ("roi_align", "roi_align", roi_align, {"samples": 2}, "sampling_ratio 0"),
        ("roi_align", "roi_align", roi_align, {"mode": "avg"}, "pool_mode max"),
        ("nms", "nms", nms, {"offset": 0}, "offset 1"),
        ("nms", "nms", nms, {"threshold": 0.3}, "iou_threshold 0.7"),
        ("softnms", "soft_nms", soft_nms, {"method": "linear"}, "method gaussian"),
    ],
)
def test_an_ignored_flag(examination, monkeypatch, name, attribute, operator, fixed, said):
    monkeypatch.setattr(mmcv.ops, attribute, ignoring(operator, **fixed))
    found = wrong(check_operators(examination))
    assert list(found) == [name]
    assert said in found[name]


def test_a_lost_gradient(examination, monkeypatch):
    def without_offset(x, offset, *rest):
        return REAL_DEFORM(x, offset.detach(), *rest)

    monkeypatch.setattr(mmcv.ops, "deform_conv2d", without_offset)
    found = wrong(check_operators(examination))
    assert list(found) == ["deform_conv"]
    assert found["deform_conv"].endswith("the gradient of input 1 is missing")


def test_an_operator_that_fails(examination, monkeypatch):
    def fail(*args):
        raise NotImplementedError("no kernel image is available")

    monkeypatch.setattr(mmcv.ops, "roi_pool", fail)
    found = wrong(check_operators(examination))
    assert list(found) == ["roi_pool"] and "no kernel image" in found["roi_pool"]
