"""What the tests of loading share: small models, published weights of them, and a refusal."""

from __future__ import annotations

import re

import pytest
import torch

from convnext_dense import ConvNeXt, load_weights

ARCH = dict(depths=(1, 2), channels=(8, 16))
BOTH_STAGES = (0, 1)


def backbone(**kwargs):
    return ConvNeXt(**({"arch": ARCH, "out_indices": BOTH_STAGES} | kwargs))


class Head(torch.nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.num_classes = classes
        self.cls = torch.nn.Conv2d(16, classes, 1)
        self.norm = torch.nn.BatchNorm2d(16)


class Detector(torch.nn.Module):
    """A whole model: backbone, neck and a head."""

    def __init__(self, classes=3, **kwargs):
        super().__init__()
        self.backbone = backbone(**kwargs)
        self.neck = torch.nn.Conv2d(16, 16, 1)
        self.head = Head(classes)


def published(net, with_norms=False):
    """What Meta would have released of ``net`` as a classifier (or, with norms, a detector)."""
    state = {name: torch.randn_like(value) for name, value in net.state_dict().items()}
    for name in list(state):
        if ".grn." in name:
            state[name] = state[name].reshape(1, 1, 1, -1)
        if name.startswith("norm") and not with_norms:
            del state[name]
    width = net.arch.channels[-1]
    state["norm.weight"] = torch.randn(width)
    state["norm.bias"] = torch.randn(width)
    state["head.weight"] = torch.randn(10, width)
    state["head.bias"] = torch.randn(10)
    return state


def snapshot(net):
    return {name: value.clone() for name, value in net.state_dict().items()}


def assert_holds(net, state, except_for=()):
    for name, value in net.state_dict().items():
        if not name.startswith(except_for or ("nothing",)):
            assert torch.equal(value, state[name].reshape(value.shape)), name


def refuse(net, source, *fragments, error=RuntimeError, **kwargs):
    """Assert that the load fails, says so in one line and leaves the network as it was."""
    before = snapshot(net)
    with pytest.raises(error) as raised:
        load_weights(net, source, **kwargs)
    message = str(raised.value)
    assert "\n" not in message
    for fragment in fragments:
        assert re.search(fragment, message), message
    assert_holds(net, before)
