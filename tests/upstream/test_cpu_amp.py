import copy

import pytest
import torch
from mmengine.registry import OPTIM_WRAPPERS, DefaultScope
from torch import nn

import convnext_dense  # noqa: F401


def build(model, **kwargs):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return OPTIM_WRAPPERS.build(dict(type="CpuAmpOptimWrapper", optimizer=optimizer, **kwargs))


def test_forward_is_bfloat16_and_parameters_stay_float32():
    model = nn.Linear(4, 2)
    wrapper = build(model)
    with wrapper.optim_context(model):
        out = model(torch.ones(3, 4))
    assert out.dtype == torch.bfloat16
    before = copy.deepcopy(model.weight.data)
    wrapper.backward(out.float().pow(2).mean())
    assert model.weight.dtype == model.weight.grad.dtype == torch.float32
    wrapper.step()
    assert not torch.equal(model.weight, before)
    assert not torch.is_autocast_enabled("cpu")


def test_accumulates_gradients_as_the_float32_wrapper_does():
    model = nn.Linear(4, 1)
    wrapper = build(model, accumulative_counts=2)
    before = model.weight.detach().clone()
    for step in range(2):
        with wrapper.optim_context(model):
            loss = model(torch.full((2, 4), 0.5)).float().sum()
        wrapper.update_params(loss)
        assert torch.equal(model.weight, before) == (step == 0)


def test_builds_in_the_scopes_of_the_stack():
    for scope in ("mmengine", "convnext_dense"):
        with DefaultScope.overwrite_default_scope(scope):
            build(nn.Linear(1, 1), dtype="bfloat16")


def test_float16_is_refused():
    with pytest.raises(ValueError, match=r"bfloat16, got dtype='float16'"):
        build(nn.Linear(1, 1), dtype="float16")
