"""Every installed peer computes what ours does, and one that does not is caught."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from convnext_dense.benchmark import networks, peers
from convnext_dense.benchmark.networks import (
    TOLERANCE,
    Network,
    Reference,
    check_equal,
    count_flops,
    find_networks,
    random_weights,
    relative_error,
)
from convnext_dense.benchmark.peers import PEERS, reason_to_skip

CPU = torch.device("cpu")
INSTALLED = [name for name, peer in PEERS.items() if not peer.package or find_spec(peer.package)]


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["atto", "v2_atto"])
@pytest.mark.parametrize("name", INSTALLED)
def test_installed_peers_compute_the_same(name, arch):
    if reason := reason_to_skip(name, arch):
        pytest.skip(reason)
    found, skipped = find_networks(arch, [name])
    assert not skipped
    assert [network.name for network in found[-1:]] == [name]
    check_equal(found, Reference(arch, CPU), CPU, gradients=True)


@pytest.mark.slow
def test_leaves_no_stand_in_for_torchvision_behind():
    if "timm" not in INSTALLED or "torchvision" in INSTALLED:
        pytest.skip("needs timm, and no torchvision")
    find_networks("atto", ["timm"])
    assert not [name for name in sys.modules if name.partition(".")[0] == "torchvision"]
    assert find_spec("torchvision") is None


@pytest.mark.slow
def test_ours_gives_raw_stages_where_a_peer_does():
    if "timm" not in INSTALLED:
        pytest.skip("timm is not installed")
    outputs = [(n.name, n.normed) for n in find_networks("atto", ["meta", "timm"])[0]]
    assert outputs == [("ours", True), ("ours", False), ("meta", True), ("timm", False)]
    assert [n.normed for n in find_networks("atto", ["meta"])[0]] == [True, True]


class Wrong(nn.Module):
    """Meta's network with one thing changed."""

    def __init__(self, change: str) -> None:
        super().__init__()
        self.net = PEERS["meta"].load("atto", random_weights("atto"))
        block = self.net.stages[2][3]
        with torch.no_grad():
            if change == "a weight":
                block.pwconv1.weight[0] += 0.1
            if change == "an output norm":
                self.net.norm1.bias[0] += 0.1
            if change == "a gradient":
                block.pwconv2.register_full_backward_hook(lambda module, into, out: (into[0] * 2,))

    def forward(self, image):
        return self.net(image)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "gradients", "what"),
    [
        ("a weight", False, "outputs"),
        ("an output norm", False, "outputs"),
        ("a gradient", True, "gradients of"),
    ],
)
def test_a_wrong_peer_is_caught(change, gradients, what):
    wrong = Network("somebody's", True, lambda: Wrong(change), tuple)
    with pytest.raises(RuntimeError, match=f"the {what}.* of somebody's differ by") as raised:
        check_equal([wrong], Reference("atto", CPU), CPU, gradients)
    assert "\n" not in str(raised.value)
    right = replace(wrong, build=lambda: Wrong("nothing"))
    check_equal([right], Reference("atto", CPU), CPU, gradients)


def test_another_shape_and_not_a_number_are_errors():
    one = torch.ones(2, 3)
    assert relative_error([one], [one]) == 0
    assert relative_error([one * 1.1], [one]) == pytest.approx(0.1)
    assert relative_error([one], [one.T]) == float("inf")
    assert not relative_error([one * float("nan")], [one]) <= TOLERANCE


def test_says_why_a_peer_is_skipped(monkeypatch):
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    found, skipped = find_networks("v2_atto", ["timm", "torchvision"])
    assert [network.name for network in found] == ["ours"]
    assert skipped == {
        "timm": "not installed: pip install timm",
        "torchvision": "not offered: torchvision has tiny, small, base, large",
    }


def test_says_what_a_peer_raises(monkeypatch):
    def build(arch, drop_path):
        raise TypeError("no\nsecond line")

    monkeypatch.setitem(networks.PEERS, "meta", replace(PEERS["meta"], build=build))
    _, skipped = find_networks("atto", ["meta"])
    assert skipped == {"meta": "cannot be built: TypeError: no"}


def test_weights_are_repeatable_and_reach_every_parameter():
    first, second = (random_weights("v2_atto") for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(value.abs().min() >= 0 and value.std() > 0 for value in first.values())


@pytest.mark.slow
def test_operations_are_twice_the_published_multiply_adds():
    # ConvNeXt, table 1: 4.5 and 15.4 billion at 224 x 224, with a classifier of 0.8 million.
    assert count_flops("tiny", (224, 224), 1, train=False) / 2e9 == pytest.approx(4.5, abs=0.05)
    assert count_flops("base", (224, 224), 2, train=False) / 4e9 == pytest.approx(15.4, abs=0.05)
    forward, both = (count_flops("atto", (64, 64), 1, train) for train in (False, True))
    assert both == 3 * forward


@pytest.mark.slow
def test_a_transformer_of_equal_size_stands_beside_an_isotropic_network():
    """Table 2 of the ConvNeXt paper: ViT-S has 22M parameters and 4.6 G multiply-adds."""
    if "timm" not in INSTALLED:
        pytest.skip("timm is not installed")
    found, skipped = find_networks("iso_small", ["meta", "timm", "vit"])
    assert [(n.name, n.is_same) for n in found] == [("ours", True), ("meta", True), ("vit", False)]
    assert skipped["timm"].startswith("not offered")
    check_equal(found, Reference("iso_small", CPU), CPU, gradients=False)
    vit = found[-1].build().eval()
    with torch.no_grad():
        (output,) = found[-1].unpack(vit(torch.zeros(1, 3, 64, 96)))
    assert output.shape == (1, 384, 4, 6)
    head = 384 * 1000
    flops = networks.count_flops_of(vit, (224, 224), 1, train=False)
    assert round((flops / 2 + head) / 1e9, 1) == 4.6
    assert round((sum(p.numel() for p in vit.parameters()) + head) / 1e6) == 22
    assert round((count_flops("iso_small", (224, 224), 1, train=False) / 2 + head) / 1e9, 1) == 4.3
    assert reason_to_skip("vit", "tiny") == "not offered: vit has iso_small, iso_base, iso_large"
