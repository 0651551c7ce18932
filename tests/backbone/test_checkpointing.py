"""``with_cp`` recomputes and changes nothing else."""

from __future__ import annotations

import copy

import pytest
import torch

from convnext_dense import ConvNeXt

SMALL = dict(depths=(1, 2, 2), channels=(8, 12, 16))


@pytest.mark.parametrize("grn", [False, True], ids=["v1", "v2"])
@pytest.mark.parametrize("drop_path_rate", [0.0, 0.6])
def test_gradients_are_equal(grn, drop_path_rate, randomise):
    plain = ConvNeXt(SMALL | dict(grn=grn), out_indices=(0, 2), drop_path_rate=drop_path_rate)
    randomise(plain)
    recomputing = copy.deepcopy(plain)
    recomputing.with_cp = True
    image = torch.randn(4, 3, 32, 48)
    results = []
    for net in (plain, recomputing):
        torch.manual_seed(3)  # the same samples skip the same blocks
        outputs = net(image)
        torch.manual_seed(99)  # the backward pass must not draw from here
        sum((output**3).sum() for output in outputs).backward()
        results.append((outputs, [param.grad for param in net.parameters()]))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)


def test_blocks_run_again_in_the_backward_pass():
    net = ConvNeXt(SMALL, out_indices=(2,), with_cp=True)
    calls = []
    net.stages[2][0].register_forward_pre_hook(lambda *_: calls.append(1))
    loss = net(torch.randn(1, 3, 32, 32))[0].sum()
    assert len(calls) == 1
    loss.backward()
    assert len(calls) == 2
    with torch.no_grad():
        net(torch.randn(1, 3, 32, 32))
    assert len(calls) == 3
