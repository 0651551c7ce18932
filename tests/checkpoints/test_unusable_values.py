"""Numbers that are no weights are refused by name, wherever weights are loaded."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from convnext_dense import ConvNeXt
from convnext_dense.checkpoints.convert import convert
from convnext_dense.checkpoints.unusable_values import find_unusable, refuse_unusable
from convnext_dense.checkpoints.verify import verify
from convnext_dense.checkpoints.whole_model import parameters_for_model
from convnext_dense.cli.weights import inspect_weights

from .helpers import backbone, published, refuse

NAME = "stages.1.0.pwconv1.weight"


def first(value, number):
    value = value.clone()
    value.view(-1)[0] = number
    return value


SPOILT = {
    "nan": (lambda v: first(v, float("nan")), "has 1 of 1024 values that are not finite"),
    "inf": (lambda v: first(v, float("inf")), "has 1 of 1024 values that are not finite"),
    "both": (lambda v: first(v * float("inf"), -1e9), "has 1023 of 1024 values that are not"),
    "half": (lambda v: first(v.half(), float("-inf")), "has 1 of 1024 values that are not finite"),
    "large": (lambda v: first(v.double(), 1e300), r"has values beyond torch\.float32"),
    "int": (lambda v: v.long(), r"is of torch\.int64"),
    "uint": (lambda v: v.byte(), r"is of torch\.uint8"),
    "bool": (lambda v: v > 0, r"is of torch\.bool"),
    "sparse": (lambda v: v.to_sparse(), r"is of layout torch\.sparse_coo"),
    "meta": (lambda v: v.to("meta"), "has a shape and no values"),
    "complex": (lambda v: torch.complex(v, v), r"is of torch\.complex64"),
}


@pytest.fixture(params=SPOILT)
def spoilt(request):
    spoil, says = SPOILT[request.param]
    state = published(backbone())
    return state | {NAME: spoil(state[NAME])}, says


def test_loading_refuses_them(spoilt):
    state, says = spoilt
    refuse(backbone(), state, rf"state dict is damaged.*: {NAME} {says}")
    refuse(backbone(), state, rf"{NAME} {says}", strict=False)


def test_the_tools_refuse_them(spoilt, saved, tmp_path, capsys):
    state, says = spoilt
    path = saved(state)
    with pytest.raises(RuntimeError, match=rf"{NAME} {says}"):
        verify(path)
    with pytest.raises(RuntimeError, match=rf"{NAME} {says}"):
        convert(path, tmp_path / "out.pth", "timm")
    assert not (tmp_path / "out.pth").exists()
    inspect_weights(SimpleNamespace(source=path, trust=False, ema=False, prefix=None))
    assert f"unusable     {NAME} " in capsys.readouterr().out


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = backbone()
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("position_ids", torch.arange(4))
        self.register_buffer("mask", torch.tensor([0.0, float("-inf")]))


@pytest.mark.parametrize("resume", [False, True])
def test_whole_models_refuse_them(spoilt, resume):
    _, says = spoilt
    spoil = spoilt[0][NAME]
    whole = Detector().state_dict()

    def fit(**checkpoint):
        parameters_for_model(Detector(), checkpoint, "a.pth", resume=resume)

    fit(state_dict=whole, meta={})
    averages = {f"module.{name}": value for name, value in whole.items()}
    averages["steps"] = torch.tensor(7)
    fit(state_dict=whole, ema_state_dict=averages)
    with pytest.raises(RuntimeError, match=rf"a\.pth is damaged.*: backbone\.{NAME} {says}"):
        fit(state_dict=whole | {f"backbone.{NAME}": spoil})
    averages[f"module.backbone.{NAME}"] = spoil
    with pytest.raises(RuntimeError, match=rf"backbone\.{NAME} {says}"):
        fit(state_dict=whole, ema_state_dict=averages)


def test_counters_and_constants_of_a_model_are_no_faults():
    state = Detector().state_dict()
    assert not find_unusable(state, Detector().state_dict())
    state["norm.num_batches_tracked"] = torch.tensor(1.5)
    state["mask"] = torch.tensor([float("nan"), 0.0])
    spoilt = {"mask", "norm.num_batches_tracked"}
    assert set(find_unusable(state, Detector().state_dict())) == spoilt


@pytest.mark.slow
@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    numbers=st.lists(st.floats(width=32), min_size=1, max_size=20),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
)
def test_any_number_that_is_not_finite_is_found(numbers, dtype):
    value = torch.tensor(numbers, dtype=torch.float64).to(dtype)
    found = find_unusable({"w": value}, {"w": torch.zeros(len(numbers))})
    assert bool(found) == (not value.float().isfinite().all())


def test_what_8_bits_hold_of_real_numbers_loads():
    net = ConvNeXt("atto")
    value = net.state_dict()[NAME].to(torch.float8_e5m2)
    assert not find_unusable({NAME: value})
    assert find_unusable({NAME: (net.state_dict()[NAME] * float("inf")).to(torch.float8_e5m2)})


def test_an_empty_parameter_of_no_known_shape_is_refused():
    with pytest.raises(RuntimeError, match=r"^a\.pth is damaged.*: w is empty"):
        refuse_unusable(dict(w=torch.empty(0)), "a.pth")
    refuse_unusable(dict(w=torch.empty(0)), "a.pth", dict(w=torch.empty(0)))
