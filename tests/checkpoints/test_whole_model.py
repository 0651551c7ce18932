"""One comparison: the same refusals wherever a whole model gets its parameters."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from convnext_dense import load_weights
from convnext_dense.checkpoints.whole_model import parameters_for_model
from convnext_dense.inference.model import build_model
from convnext_dense.training import StrictLoadHook

from .helpers import ARCH, Detector, assert_holds, backbone, published, snapshot


def load(model, path):
    load_weights(model, path)


def hook(model, path, resume=False):
    """As mmengine's runner loads for a test, a training and a resumed one."""
    runner = SimpleNamespace(model=model, _load_from=path, _resume=resume, cfg={}, _train_loop=None)
    content = torch.load(path)
    StrictLoadHook().after_load_checkpoint(runner, content)
    model.load_state_dict(content["state_dict"])


def resume(model, path):
    hook(model, path, resume=True)


def infer(model, path):
    MODELS.register_module("ToyDetector", force=True, module=lambda: model)
    cfg = Config(dict(model=dict(type="ToyDetector"), default_scope="mmengine"))
    build_model(cfg, path, torch.device("cpu"), 0.0)


DOORS = [load, hook, resume, infer]


def first_nan(value):
    value = value.clone()
    value.view(-1)[0] = torch.nan
    return value


# What is done to the parameters of a whole model, and what the refusal says.
SPOILT = {
    "missing": (lambda state: state.pop("neck.weight"), r"1 missing \(neck\.weight\)"),
    "unknown": (
        lambda state: state.update({"neck.extra": torch.ones(1)}),
        r"1 not in the model \(neck\.extra\)",
    ),
    "another neck": (
        lambda state: state.update({"neck.weight": torch.ones(20, 16, 1, 1)}),
        r"1 of another shape \(neck\.weight \(20, 16, 1, 1\) for \(16, 16, 1, 1\)\)",
    ),
    "another backbone": (
        lambda state: state.update(Detector(arch=ARCH | dict(channels=(8, 24))).state_dict()),
        r"of another shape \(backbone\.downsample_layers\.1\.1\.weight \(24, 8, 2, 2\) for \(16, ",
    ),
    "other classes": (
        lambda state: state.update(Detector(classes=2).state_dict()),
        r"\(head\.cls\.weight \(2, 16, 1, 1\) for \(3, .*trained for 2 classes, and this model is "
        r"for 3: .*`classes=\('cat', 'dog'\)`",
    ),
    "nan": (
        lambda state: state.update({"neck.bias": first_nan(state["neck.bias"])}),
        r"is damaged.*neck\.bias has 1 of 16 values that are not finite",
    ),
    "integers": (
        lambda state: state.update({"neck.bias": state["neck.bias"].long()}),
        r"is damaged.*neck\.bias is of torch\.int64",
    ),
}
META = dict(dataset_meta=dict(classes=("cat", "dog")))


@pytest.fixture
def trained(randomise):
    return dict(randomise(Detector()).state_dict())


@pytest.mark.slow
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", SPOILT)
def test_every_door_refuses_alike(door, kind, trained, saved):
    spoil, says = SPOILT[kind]
    spoil(trained)
    path = saved(dict(state_dict=trained, meta=META))
    model = Detector()
    before = snapshot(model)
    with pytest.raises(RuntimeError, match=rf"^{path} .*{says}") as refusal:
        door(model, path)
    assert "\n" not in str(refusal.value)
    assert_holds(model, before)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("key", ["state_dict", "model", None])
def test_every_door_takes_what_fits(door, key, trained, saved):
    model = Detector()
    door(model, saved({key: trained} if key else trained))
    assert_holds(model, trained)


@pytest.mark.parametrize("door", [hook, resume, infer])
def test_a_backbone_is_no_whole_model(door, saved):
    path = saved(published(backbone()))
    says = rf"^{path} does not hold a whole model.*`weights='{path}'`"
    with pytest.raises(RuntimeError, match=says):
        door(Detector(), path)


def test_heads_of_other_classes_stay_random_in_a_training_alone(trained):
    model = Detector(classes=5)
    fitting = parameters_for_model(model, trained, "a.pth", reinit_heads=True)
    assert set(model.state_dict()) - set(fitting) == {"head.cls.weight", "head.cls.bias"}
    with pytest.raises(RuntimeError, match="reinit_heads=True"):
        parameters_for_model(model, trained, "a.pth", reinit_heads=False)
    with pytest.raises(RuntimeError) as refusal:
        parameters_for_model(model, trained, "a.pth")
    assert "reinit_heads" not in str(refusal.value)


def test_averages_are_taken_and_what_goes_on_is_compared_too(trained):
    plain = {f"module.{name}": value + 1 for name, value in trained.items()}
    checkpoint = dict(state_dict=trained, ema_state_dict=plain | dict(steps=torch.tensor(3)))
    for resumed in (False, True):
        fitting = parameters_for_model(Detector(), checkpoint, "a.pth", resume=resumed)
        assert torch.equal(fitting["neck.weight"], trained["neck.weight"])
    del checkpoint["ema_state_dict"]["module.neck.weight"]
    parameters_for_model(Detector(), checkpoint, "a.pth")  # a test has no use for them
    says = r"^a\.pth: ema_state_dict does not fit this model: 1 missing \(neck\.weight\)"
    with pytest.raises(RuntimeError, match=says):
        parameters_for_model(Detector(), checkpoint, "a.pth", resume=True)


def test_versions_of_modules_stay(saved):
    state = Detector().state_dict()
    fitting = parameters_for_model(Detector(), dict(state_dict=state), "a.pth")
    assert fitting._metadata == state._metadata


def test_a_backbone_deeper_in_a_model_is_renamed_too(trained):
    model = torch.nn.Module()
    model.student = Detector()
    state = {f"student.{n.replace('pwconv', 'pointwise_conv')}": v for n, v in trained.items()}
    state = {n.replace("dwconv", "depthwise_conv"): v for n, v in state.items()}
    fitting = parameters_for_model(model, state, "a.pth")
    assert fitting.keys() == model.state_dict().keys()
