"""Containers of other trainers and wrappers in names: the same parameters come out."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from convnext_dense import load_weights
from convnext_dense.checkpoints.containers import AVERAGED_KEYS, PLAIN_KEYS
from convnext_dense.checkpoints.find_convnext import find_convnext
from convnext_dense.checkpoints.source import read_source
from convnext_dense.checkpoints.whole_model import parameters_for_model

from .helpers import assert_holds, backbone, published, refuse

WRAPPERS = (
    "module",
    "_orig_mod",
    "_checkpoint_wrapped_module",
    "_fsdp_wrapped_module",
    "_forward_module",
)
FRONTS = ("", "model.", "net.", "encoder.backbone.", "visual.trunk.", "teacher.", "a.b.c.")
EXTRAS = dict(
    epoch=3, optimizer=dict(state={0: dict(exp_avg=torch.ones(2))}), ds_config={}, args=None
)
STATE = published(backbone(), with_norms=True)


@st.composite
def wrapped_names(draw):
    """The parameters with wrappers drawn for each place of a name, alike for all names below it."""
    chosen = {}

    def wrap(path):
        if path not in chosen:
            chosen[path] = draw(
                st.lists(st.sampled_from(WRAPPERS), max_size=2)
                if draw(st.booleans())
                else st.just([])
            )
        return chosen[path]

    front = draw(st.sampled_from(FRONTS))
    state = {}
    for name, value in STATE.items():
        parts = (front + name).split(".")
        wrapped = []
        for depth, part in enumerate(parts):
            wrapped += [*wrap(tuple(parts[:depth])), part]
        state[".".join(wrapped)] = value
    return state


def contain(state, keys, decoy):
    """Put a state dict below keys, each beside what training loops keep there too."""
    for key in reversed(keys):
        state = {**EXTRAS, key: state}
        if decoy and key in PLAIN_KEYS:
            state["model_ema"] = {"module." + n: v + 1 for n, v in STATE.items()}
            state["model_ema"]["n_averaged"] = torch.tensor(9)
    return state


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    state=wrapped_names(),
    keys=st.lists(st.sampled_from((*PLAIN_KEYS, *AVERAGED_KEYS)), max_size=3, unique=True),
    decoy=st.booleans(),
)
def test_any_wrappers_and_containers_load_to_the_same_parameters(state, keys, decoy):
    checkpoint = contain(state, keys, decoy and not set(keys) & set(AVERAGED_KEYS))
    ema = bool(keys) and set(keys) <= set(AVERAGED_KEYS)
    for options in ({"ema": ema}, {"prefix": ".".join(keys)} if keys else {}):
        net = backbone()
        load_weights(net, checkpoint, **options)
        assert_holds(net, STATE)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    state=wrapped_names(), keys=st.lists(st.sampled_from(["weights", "params", "ema"]), max_size=3)
)
def test_prefix_reaches_into_containers_of_any_name(state, keys):
    found = find_convnext(read_source(state).state, "it")
    prefix = ".".join([*keys, *found.prefix.rstrip(".").split(".")]).strip(".")
    net = backbone()
    load_weights(net, contain(state, keys, False), prefix or None)
    assert_holds(net, STATE)


@pytest.mark.parametrize(
    ("checkpoint", "key", "left"),
    [
        (dict(module=STATE, buffer_names=[], ds_version="0.9"), "module", ()),
        (dict(state_dict=STATE, hyper_parameters={}, callbacks={}), "state_dict", ()),
        (dict(student=STATE, teacher=STATE), "student", ("teacher",)),
        (dict(teacher=STATE), "teacher", ()),
        (dict(model=dict(state_dict=STATE)), "model.state_dict", ()),
        (dict(ema=dict(module=STATE), ema_decay=0.9), "ema.module", ()),
        (dict(model=STATE, ema=None), "model", ()),
        (dict(model=STATE, ema=0.999), "model", ()),
    ],
)
def test_which_set_is_taken(checkpoint, key, left):
    read = read_source(checkpoint)
    assert (read.key, read.left) == (key, left)
    assert read.state.keys() == STATE.keys()


def test_the_teacher_is_asked_for_by_either_word():
    other = {name: value + 1 for name, value in STATE.items()}
    checkpoint = dict(student=other, teacher={f"backbone.{n}": v for n, v in STATE.items()})
    for options in (dict(ema=True), dict(prefix="teacher"), dict(prefix="teacher.backbone")):
        net = backbone()
        load_weights(net, checkpoint, **options)
        assert_holds(net, STATE)


def test_a_container_that_holds_itself_is_refused():
    checkpoint = {}
    checkpoint["model"] = checkpoint
    refuse(backbone(), checkpoint, "holds no parameters")
    refuse(backbone(), checkpoint, "holds no parameters", prefix="model.model.model")


def test_a_prefix_that_leads_nowhere_says_what_there_is():
    refuse(
        backbone(), dict(teacher=STATE), "prefix 'nets.'.*begin with 'downsample_", prefix="nets"
    )
    refuse(
        backbone(), dict(nets=STATE), r"holds no parameters.*\(prefix= names another\), but 'nets'"
    )


def test_names_that_wrappers_alone_tell_apart_stay_apart():
    state = {f"a.{n}": v for n, v in STATE.items()} | {f"a.module.{n}": v for n, v in STATE.items()}
    refuse(backbone(), state, "holds 2 ConvNeXts: choose one with prefix=")


def test_a_whole_model_with_wrappers_tests_and_starts_training():
    class Detector(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = backbone()
            self.head = nn.Linear(2, 2)

    model = Detector()
    state = {n.replace("stages.1", "stages._orig_mod.1"): v for n, v in model.state_dict().items()}
    state = {n.replace("head.", "head._checkpoint_wrapped_module."): v for n, v in state.items()}
    for checkpoint in (dict(module=state), dict(state_dict=state), state):
        assert parameters_for_model(model, checkpoint, "a.pth").keys() == model.state_dict().keys()
    load_weights(model, dict(module=state))
