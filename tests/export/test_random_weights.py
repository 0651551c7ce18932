"""Random weights spread what a model finds."""

import torch
from torch import nn

from benchmarks.random_weights import MOVE, settle_norms, spread_weights


def test_boxes_move_little_at_each_level():
    head = nn.ModuleDict(
        dict(
            cls=nn.Conv2d(256, 400, 1),
            rtm_reg=nn.ModuleList([nn.Conv2d(256, 400, 1)]),
            reg_convs=nn.ModuleList([nn.Sequential(nn.Conv2d(256, 400, 1))]),
        )
    )
    spread_weights(head)
    usual = head.cls.weight.std().item()
    assert abs(head.rtm_reg[0].weight.std().item() / usual - MOVE) < 0.01
    assert abs(head.reg_convs[0][0].weight.std().item() / usual - 1) < 0.02


def test_norms_have_the_statistics_of_the_picture():
    net = nn.Sequential(nn.BatchNorm2d(3), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3)).eval()
    picture = torch.randn(1, 3, 20, 30) * 5 + 7

    settle_norms(net, picture)

    normalised = net[0](picture)
    torch.testing.assert_close(normalised.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(normalised.std((0, 2, 3)), torch.ones(3), atol=1e-4, rtol=0)
    # A map of one place has no variance of its own.
    pooled = torch.tensor([3.0, 0, -3]).reshape(1, 3, 1, 1)
    settle_norms(net[2], pooled)
    torch.testing.assert_close(net[2](pooled).square().mean(), torch.tensor(1.0))
