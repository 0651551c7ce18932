"""``frozen_stages`` as mmdet means it."""

from __future__ import annotations

import pytest
import torch

from convnext_dense import ConvNeXt
from convnext_dense.backbone import staged

SMALL = dict(depths=(1, 1, 2, 1), channels=(8, 12, 16, 20))

# What each value freezes beyond the value before it.
PARTS = {
    0: ("downsample_layers.0.",),
    1: ("stages.0.", "norm0."),
    2: ("downsample_layers.1.", "stages.1.", "norm1."),
    3: ("downsample_layers.2.", "stages.2.", "norm2."),
    4: ("downsample_layers.3.", "stages.3.", "norm3."),
}


def frozen_prefixes(frozen_stages):
    return tuple(part for n in range(frozen_stages + 1) for part in PARTS[n])


@pytest.mark.parametrize("frozen_stages", [-1, 0, 1, 2, 4])
def test_freezes_the_stem_and_n_stages_with_their_norms(frozen_stages):
    net = ConvNeXt(SMALL, frozen_stages=frozen_stages)
    frozen = {name for name, param in net.named_parameters() if not param.requires_grad}
    prefixes = frozen_prefixes(frozen_stages)
    assert frozen == {name for name, _ in net.named_parameters() if name.startswith(prefixes)}


def test_stays_in_eval_and_train_returns_self():
    net = ConvNeXt(SMALL, frozen_stages=2, drop_path_rate=0.5)
    prefixes = frozen_prefixes(2)
    assert net.train() is net
    torch.nn.Sequential(net).train()  # reached through a parent as well
    for name, module in net.named_modules():
        if name and list(module.children()) == []:
            assert module.training != f"{name}.".startswith(prefixes), name
    assert net.eval() is net
    assert not any(module.training for module in net.modules())


def test_drop_path_is_off_where_frozen():
    net = ConvNeXt(SMALL, frozen_stages=2, drop_path_rate=0.9, out_indices=(1, 3)).train()
    image = torch.randn(4, 3, 32, 32)
    runs = [net(image) for _ in range(8)]
    assert all(torch.equal(run[0], runs[0][0]) for run in runs)
    assert not all(torch.equal(run[1], runs[0][1]) for run in runs)


@pytest.mark.parametrize("with_cp", [False, True])
def test_an_optimizer_leaves_frozen_parameters_alone(with_cp, randomise):
    net = ConvNeXt(SMALL, frozen_stages=2, with_cp=with_cp)
    randomise(net)
    before = {name: param.detach().clone() for name, param in net.named_parameters()}
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.1)
    sum((output**3).sum() for output in net(torch.randn(2, 3, 32, 32))).backward()
    optimizer.step()
    unchanged = {name for name, param in net.named_parameters() if torch.equal(param, before[name])}
    assert unchanged == {name for name in before if name.startswith(frozen_prefixes(2))}


def test_norms_that_are_not_built_and_stages_that_are_not_built():
    raw = ConvNeXt(SMALL, frozen_stages=1, norm_out=False)
    assert not any(param.requires_grad for param in raw.stages[0].parameters())
    part = ConvNeXt(SMALL, frozen_stages=4, out_indices=(1,))
    assert not any(param.requires_grad for param in part.parameters())


def saved_tensors(net, image):
    """Return the outputs, and how many tensors autograd saved for the backward pass."""
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        outputs = net(image)
    return outputs, len(saved)


@pytest.mark.parametrize("grn", [False, True], ids=["v1", "v2"])
@pytest.mark.parametrize("with_cp", [False, True])
def test_no_graph_is_kept_of_what_is_frozen(with_cp, grn, randomise, fast_at_any_size):
    image = torch.randn(2, 3, 32, 32)
    counts = {}
    for frozen_stages in (-1, 2, 4):
        net = ConvNeXt(
            SMALL | dict(grn=grn),
            frozen_stages=frozen_stages,
            with_cp=with_cp,
            drop_path_rate=0.5,
        )
        randomise(net).train()
        outputs, counts[frozen_stages] = saved_tensors(net, image)
        graphs = [output.grad_fn is not None for output in outputs]
        assert graphs == [stage >= frozen_stages for stage in range(4)]
    assert counts[-1] > counts[2] > counts[4] == 0


@pytest.mark.parametrize("grn", [False, True], ids=["v1", "v2"])
def test_computes_in_training_what_it_computes_in_inference(grn, randomise):
    net = randomise(ConvNeXt(SMALL | dict(grn=grn), frozen_stages=4, drop_path_rate=0.5))
    image = torch.randn(2, 3, 32, 32)
    trained = net.train()(image)
    with torch.no_grad():
        torch.testing.assert_close(trained, net.eval()(image), rtol=0, atol=0)


@pytest.mark.parametrize("with_cp", [False, True])
def test_the_images_get_their_gradient_where_they_need_one(with_cp, randomise):
    frozen = randomise(ConvNeXt(SMALL, frozen_stages=4, with_cp=with_cp)).train()
    trained = ConvNeXt(SMALL)
    trained.load_state_dict(frozen.state_dict())
    gradients = []
    for net in (frozen, trained):
        image = torch.linspace(-1, 1, 3 * 32 * 32).sin().view(1, 3, 32, 32).requires_grad_()
        sum((output**3).sum() for output in net(image)).backward()
        gradients.append(image.grad)
    torch.testing.assert_close(*gradients)


def test_frozen_blocks_are_not_checkpointed(monkeypatch):
    net = ConvNeXt(SMALL, frozen_stages=2, with_cp=True).train()
    checkpointed = []

    def checkpoint(block, x, use_reentrant):
        checkpointed.append(block)
        return block(x)

    monkeypatch.setattr(staged, "checkpoint", checkpoint)
    net(torch.randn(1, 3, 32, 32))
    assert checkpointed == [*net.stages[2], *net.stages[3]]
