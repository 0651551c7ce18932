"""Both halves of a block together, as the network calls them."""

import weakref

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from convnext_dense.kernels import ConvNormParameters, MLPParameters, reference
from convnext_dense.kernels.triton import mlp, operators, probe

from .helpers import DEVICE, DTYPES, error, random

CHANNELS = 8


def parameters(grn):
    hidden = 4 * CHANNELS
    return [
        random(CHANNELS, 1, 3, 3),
        *(random(CHANNELS) for _ in range(3)),
        random(hidden, CHANNELS, std=CHANNELS**-0.5),
        random(hidden),
        random(CHANNELS, hidden, std=hidden**-0.5),
        random(CHANNELS),
        random(CHANNELS),
        *([random(hidden), random(hidden)] if grn else []),
    ]


def block(path, dtype, x, *weights):
    y = path.conv_norm(x, ConvNormParameters(*weights[:4], dilation=1, eps=1e-6), dtype)
    return path.mlp(x, y, MLPParameters(*weights[4:], grn_eps=1e-6), 1.0)


@pytest.mark.parametrize("grn", [False, True], ids=["V1", "V2"])
def test_gradients_of_gradients(grn):
    inputs = [random(2, 3, 4, CHANNELS), *parameters(grn)]
    penalties = []
    for module in (operators, reference):
        output = block(module, torch.float32, *inputs)
        grads = torch.autograd.grad(output.pow(2).sum(), inputs, create_graph=True)
        penalties.append(torch.autograd.grad(sum(g.pow(2).sum() for g in grads), inputs))
    for a, b in zip(*penalties, strict=True):
        assert error(a, b) < 1e-4


def test_gradients_of_gradients_where_two_blocks_share_their_weights():
    inputs = [random(1, 3, 4, CHANNELS, std=0.3), *parameters(False)]
    firsts = []
    for module in (operators, reference):
        x, *weights = inputs
        output = block(module, torch.float32, block(module, torch.float32, x, *weights), *weights)
        firsts.append(torch.autograd.grad(output.pow(2).sum(), inputs, create_graph=True))
    for a, b in zip(*firsts, strict=True):
        assert error(a, b) < 1e-4


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_gives_the_same_gradients(reentrant):
    inputs = [random(1, 3, 4, CHANNELS), *parameters(True)]
    grad = torch.randn(1, 3, 4, CHANNELS, device=DEVICE)
    block(operators, torch.bfloat16, *inputs).backward(grad)
    expected = [t.grad for t in inputs]
    for t in inputs:
        t.grad = None
    checkpoint(block, operators, torch.bfloat16, *inputs, use_reentrant=reentrant).backward(grad)
    assert all(torch.equal(t.grad, e) for t, e in zip(inputs, expected, strict=True))


def test_keeps_no_more_than_it_needs():
    # In units of the map's size times C: map, convolution, norm, and the hidden map of 4 C, all in
    # two bytes.
    shape = (4, 16, 16, CHANNELS)
    kept = {}

    def keep(tensor):
        if tensor.numel() >= torch.Size(shape).numel():
            kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    x, weights = random(*shape), parameters(False)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        block(operators, torch.bfloat16, x, *weights)
    assert sum(kept.values()) == 2 * (1 + 1 + 1 + 4) * torch.Size(shape).numel()


def test_lets_go_of_a_shortcut_in_a_wider_type():
    weights = parameters(False)
    shortcut = random(1, 3, 4, CHANNELS) * 2
    alive = weakref.ref(shortcut)
    output = block(operators, torch.bfloat16, shortcut, *weights)
    del shortcut
    assert alive() is None
    output.sum().backward()


def test_autocast_around_a_call_changes_nothing():
    inputs = [random(1, 3, 4, CHANNELS), *parameters(False)]
    expected = block(operators, torch.float32, *inputs)
    with torch.autocast(DEVICE.type, torch.bfloat16):
        result = block(operators, torch.float32, *inputs)
    assert torch.equal(result, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_probe_finds_sound_kernels_sound(dtype):
    assert probe._largest_error(DEVICE, dtype) < probe._TOLERANCE / 2


@pytest.mark.parametrize("name", ["gelu_backward_", "gelu_grn_backward_", "add_branch"])
def test_the_probe_finds_a_broken_kernel_broken(monkeypatch, name):
    kernel = getattr(mlp, name)

    def broken(*arguments):
        result = kernel(*arguments)
        (result if isinstance(result, torch.Tensor) else result[0]).view(-1)[::2].zero_()
        return result

    monkeypatch.setattr(mlp, name, broken)
    assert probe._largest_error(DEVICE, torch.float32) > probe._TOLERANCE


def test_the_probe_ignores_the_modes_that_it_is_called_in():
    with torch.inference_mode(), torch.autocast(DEVICE.type, torch.bfloat16):
        assert probe._largest_error(DEVICE, torch.float32) < 1e-3
