"""What is kept of a weight follows every change of it."""

import copy
import gc
import pickle

import pytest
import torch
from torch import nn

from convnext_dense import ConvNeXt, kernels
from convnext_dense.kernels import onednn
from convnext_dense.kernels.onednn import packing
from convnext_dense.kernels.onednn.linear import linear

pytestmark = pytest.mark.skipif(
    not onednn.available(torch.bfloat16), reason="no oneDNN operators for bfloat16 here"
)


def scale_data(weight):
    weight.data.mul_(2)


def scale_in_place(weight):
    with torch.no_grad():
        weight.mul_(2)


def change_one_value(weight):
    with torch.no_grad():
        weight[3, 5] += 1


def halve_all_columns_but_one(weight):
    weight.data[:, 1:] *= 0.5


def clear_one_row(weight):
    weight.data[2] = 0


def write_through_numpy(weight):
    weight.detach().numpy()[:, 7] = 3


def replace_data(weight):
    weight.data = weight.data + 1


def step(weight):
    weight.grad = torch.ones_like(weight)
    torch.optim.SGD([weight], lr=0.1).step()


def swap_as_averaging_hooks_do(weight):
    weight.data.copy_(torch.randn_like(weight))


@pytest.mark.parametrize(
    "change",
    [
        scale_data,
        scale_in_place,
        change_one_value,
        halve_all_columns_but_one,
        clear_one_row,
        write_through_numpy,
        replace_data,
        step,
        swap_as_averaging_hooks_do,
    ],
)
def test_every_change_is_followed(change):
    weight = nn.Parameter(torch.randn(64, 32))
    x = torch.randn(20, 32, dtype=torch.bfloat16)

    def product():
        with torch.no_grad():
            return linear(x, packing.packed(weight, torch.bfloat16))

    before = [product() for _ in range(3)]
    assert torch.equal(before[0], before[2])
    change(weight)
    want = x.float() @ weight.detach().bfloat16().float().t()
    for _ in range(3):
        torch.testing.assert_close(product().float(), want, rtol=2e-2, atol=2e-2)
    assert not torch.equal(product(), before[0])


def test_a_weight_is_packed_when_it_comes_back_unchanged(monkeypatch):
    calls = []
    monkeypatch.setattr(packing, "pack", lambda w, rows: calls.append(rows) or w)
    weight = nn.Parameter(torch.randn(16, 16))
    for _ in range(3):
        packing.packed(weight, torch.bfloat16)
        scale_in_place(weight)
    assert not calls
    for _ in range(3):
        packing.packed(weight, torch.bfloat16)
    assert len(calls) == 1


def test_what_is_kept_goes_with_the_weight():
    weight = nn.Parameter(torch.randn(16, 16))
    packing.packed(weight, torch.bfloat16)
    entries = packing._entries
    gc.collect()
    held = len(entries)
    del weight
    gc.collect()
    assert len(entries) == held - 1


def test_a_network_that_ran_is_copied_and_pickled():
    net = ConvNeXt(dict(depths=(1, 1), channels=(16, 32)), out_indices=(1,)).eval()
    image = torch.randn(1, 3, 32, 32)

    def run(net):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            return net(image)[0]

    want = [run(net) for _ in range(3)][-1]
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        torch.testing.assert_close(run(twin), want, rtol=2e-2, atol=2e-2)
    other = ConvNeXt(dict(depths=(1, 1), channels=(16, 32)), out_indices=(1,)).eval()
    net.load_state_dict(other.state_dict())
    with kernels.plain_torch():
        plain = run(other)
    torch.testing.assert_close(run(net), plain, rtol=3e-2, atol=3e-2)
