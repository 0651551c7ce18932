import importlib
import math

import pytest
import torch

import convnext_dense  # noqa: F401  (provides mmcv._ext where it is missing)
from convnext_dense.upstream.ops import sigmoid_focal_loss

pytest.importorskip("mmcv")
wrapper = importlib.import_module("mmcv.ops.focal_loss")


@pytest.fixture(autouse=True)
def ours(monkeypatch):
    """mmcv's wrapper over our functions, also where a compiled mmcv is installed."""
    monkeypatch.setattr(wrapper, "ext_module", sigmoid_focal_loss)


def make_case(dtype=torch.float64):
    torch.manual_seed(0)
    # The last two rows: background, and a label that no class has.
    return torch.randn(6, 4, dtype=dtype) * 3, torch.tensor([0, 3, 1, 1, 4, -1])


def by_definition(logit, positive, gamma, alpha):
    """The paper's equation for one logit, in Python's floats."""
    p = 1 / (1 + math.exp(-logit))
    if positive:
        return -alpha * (1 - p) ** gamma * math.log(p)
    return -(1 - alpha) * p**gamma * math.log(1 - p)


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, 0.25), (0.0, 0.5), (1.5, 0.9)])
def test_is_the_definition(gamma, alpha):
    logits, target = make_case()
    expected = torch.tensor(
        [
            [by_definition(x, c == t, gamma, alpha) for c, x in enumerate(row)]
            for row, t in zip(logits.tolist(), target.tolist(), strict=True)
        ],
        dtype=torch.float64,
    )
    reductions = {"none": expected, "sum": expected.sum(), "mean": expected.sum() / 6}
    for reduction, value in reductions.items():
        loss = wrapper.sigmoid_focal_loss(logits, target, gamma, alpha, None, reduction)
        torch.testing.assert_close(loss, value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("gamma", [2.0, 0.0, 1.5])
def test_gradcheck(gamma, weighted, reduction):
    logits, target = make_case()
    weight = torch.tensor([0.5, 2.0, 3.0, 4.0], dtype=torch.float64) if weighted else None
    assert torch.autograd.gradcheck(
        lambda x: wrapper.sigmoid_focal_loss(x, target, gamma, 0.25, weight, reduction),
        logits.requires_grad_(),
    )


def test_weight_is_that_of_the_rows_class():
    logits, target = make_case()
    weight = torch.tensor([0.5, 2.0, 3.0, 4.0], dtype=torch.float64)
    plain = wrapper.sigmoid_focal_loss(logits, target, 2.0, 0.25, None, "none")
    weighted = wrapper.sigmoid_focal_loss(logits, target, 2.0, 0.25, weight, "none")
    of_rows = torch.tensor([0.5, 4.0, 2.0, 2.0, 1.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(weighted, plain * of_rows[:, None])


def test_large_logits_stay_exact():
    logits = torch.tensor([[20.0], [200.0], [-200.0]], requires_grad=True)
    target = torch.tensor([1, 1, 0])  # wrong every time
    loss = wrapper.sigmoid_focal_loss(logits, target, 2.0, 0.25, None, "none")
    torch.testing.assert_close(loss.detach(), torch.tensor([[15.0], [150.0], [50.0]]))
    loss.sum().backward()
    torch.testing.assert_close(logits.grad, torch.tensor([[0.75], [0.75], [-0.25]]))


def test_right_logits_cost_nothing():
    logits = torch.tensor([[200.0], [-200.0]], requires_grad=True)
    loss = wrapper.sigmoid_focal_loss(logits, torch.tensor([0, 1]), 1.5, 0.25, None, "sum")
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.tolist() == [[0.0], [0.0]]


def test_half_precision_is_rounded_once():
    logits, target = make_case(torch.bfloat16)
    logits.requires_grad_()
    loss = wrapper.sigmoid_focal_loss(logits, target, 2.0, 0.25, None, "none")
    full = wrapper.sigmoid_focal_loss(logits.detach().float(), target, 2.0, 0.25, None, "none")
    assert loss.dtype == torch.bfloat16
    assert torch.equal(loss, full.bfloat16())
    loss.sum().backward()
    assert logits.grad.dtype == torch.bfloat16


@pytest.mark.parametrize("shape", [(0, 4), (3, 0)])
def test_empty(shape):
    logits = torch.zeros(shape, requires_grad=True)
    loss = wrapper.sigmoid_focal_loss(logits, torch.zeros(shape[0]).long(), 2.0, 0.25, None, "sum")
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.shape == shape


def test_a_label_past_the_background_is_named():
    with pytest.raises(ValueError, match="target holds 7, expected at most 4"):
        wrapper.sigmoid_focal_loss(torch.zeros(1, 4), torch.tensor([7]))
