"""Random weights spread what a model finds."""

import pytest
import torch
from torch import nn

from benchmarks.random_weights import MOVE, SURE, settle, spread_weights


def test_scores_and_boxes_are_spread():
    head = nn.Sequential(
        nn.ModuleDict(
            dict(
                rpn_cls=nn.Conv2d(3, 80, 1),
                rtm_reg=nn.ModuleList([nn.Conv2d(3, 80, 1)]),
                reg_convs=nn.ModuleDict(dict(conv=nn.Conv2d(3, 80, 1))),
            )
        )
    )
    layers = dict(cls=head[0]["rpn_cls"], reg=head[0]["rtm_reg"][0], conv=head[0].reg_convs.conv)
    spread_weights(head)
    head.forward = lambda x: [layer(x) for _ in range(2) for layer in layers.values()]
    picture = torch.randn(1, 3, 20, 30)
    before = layers["conv"](picture)

    settle(head, picture)

    assert layers["cls"](picture).std().item() == pytest.approx(SURE)
    assert layers["reg"](picture).std().item() == pytest.approx(MOVE)
    assert torch.equal(layers["conv"](picture), before)  # no last layer


def test_norms_have_the_statistics_of_the_picture():
    net = nn.Sequential(nn.BatchNorm2d(3), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3)).eval()
    picture = torch.randn(1, 3, 20, 30) * 5 + 7

    settle(net, picture)

    normalised = net[0](picture)
    torch.testing.assert_close(normalised.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(normalised.std((0, 2, 3)), torch.ones(3), atol=1e-4, rtol=0)
    # A map of one place has no variance of its own.
    pooled = torch.tensor([3.0, 0, -3]).reshape(1, 3, 1, 1)
    settle(net[2], pooled)
    torch.testing.assert_close(net[2](pooled).square().mean(), torch.tensor(1.0))
