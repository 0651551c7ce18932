"""Random weights spread what a model finds."""

import pytest
import torch
from torch import nn

from benchmarks.random_weights import MOVE, SURE, settle, spread_queries, spread_weights

NAMES_OF_MMDET = ("query_feat", "cls_embed", "mask_feature")
NAMES_OF_TRANSFORMERS = ("queries_features", "class_predictor", "mask_projection")


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


@pytest.mark.parametrize("queries, classes, masks", [NAMES_OF_MMDET, NAMES_OF_TRANSFORMERS])
def test_queries_differ_in_class_and_mask(queries, classes, masks):
    layers = {
        queries: nn.Embedding(20, 16),
        "out_proj": nn.Linear(16, 16),
        classes: nn.Linear(16, 5),
        masks: nn.Conv2d(3, 16, 1),
    }
    net = nn.ModuleDict(layers)

    def run(picture):
        found = layers[queries].weight
        for _ in range(3):  # each layer of attention takes the mean of all
            mean = layers["out_proj"](found.mean(0, keepdim=True))
            found = nn.functional.layer_norm(found + mean, (16,))
        return layers[classes](found), found @ layers[masks](picture)[0].flatten(1)

    net.forward = run
    picture = torch.randn(1, 3, 20, 30) + 5

    spread_queries(net, picture)

    logits, masks_of_queries = net(picture)
    torch.testing.assert_close(logits.mean(0), torch.zeros(5), atol=1e-5, rtol=0)
    assert logits.std().item() == pytest.approx(SURE)
    assert masks_of_queries.std().item() == pytest.approx(SURE, rel=0.2)
    assert len(logits.argmax(1).unique()) == 5


def test_other_models_keep_their_weights():
    net = nn.ModuleDict(dict(query_feat=nn.Embedding(2, 3), out_proj=nn.Linear(3, 3)))
    before = {name: value.clone() for name, value in net.state_dict().items()}

    spread_queries(net, torch.zeros(1))

    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])
