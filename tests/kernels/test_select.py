"""Which path each case picks, and that a network gives the same on all of them."""

import contextlib

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from convnext_dense import ConvNeXt, kernels
from convnext_dense.backbone.block import Block
from convnext_dense.kernels import onednn

FAST = onednn.available(torch.float32)
FAST_BF16 = onednn.available(torch.bfloat16)


def autocast(dtype):
    return torch.autocast("cpu", dtype)


CASES = {
    # case: (types of the parameters and of the input, context, whether the fast path runs)
    "float32": (torch.float32, torch.float32, contextlib.nullcontext, FAST),
    "bfloat16": (torch.bfloat16, torch.bfloat16, contextlib.nullcontext, FAST_BF16),
    "bfloat16 autocast": (
        torch.float32,
        torch.float32,
        lambda: autocast(torch.bfloat16),
        FAST_BF16,
    ),
    "bfloat16 autocast after a convolution": (
        torch.float32,
        torch.bfloat16,
        lambda: autocast(torch.bfloat16),
        FAST_BF16,
    ),
    "no gradients": (torch.float32, torch.float32, torch.no_grad, FAST),
    "inference mode": (torch.float32, torch.float32, torch.inference_mode, FAST),
    "float64": (torch.float64, torch.float64, contextlib.nullcontext, False),
    "float16 autocast": (
        torch.float32,
        torch.float32,
        lambda: autocast(torch.float16),
        False,
    ),
    "plain_torch": (torch.float32, torch.float32, kernels.plain_torch, False),
    "counting operators": (
        torch.float32,
        torch.float32,
        lambda: FlopCounterMode(display=False),
        False,
    ),
    "oneDNN switched off": (
        torch.float32,
        torch.float32,
        lambda: torch.backends.mkldnn.flags(enabled=False),
        False,
    ),
}


@pytest.mark.parametrize("grn", [False, True], ids=["v1", "v2"])
@pytest.mark.parametrize("case", CASES)
def test_path(case, grn):
    parameters, images, context, fast = CASES[case]
    block = Block(16, grn=grn).to(parameters)
    x = torch.randn(2, 16, 9, 7).to(images)
    with context():
        assert block._fast_path(x) is (onednn if fast else None)
        assert block(x).shape == x.shape


def test_mixed_types_are_refused_as_torch_does():
    with pytest.raises(RuntimeError, match="type"):
        Block(16)(torch.randn(1, 16, 4, 4).bfloat16())


def test_an_empty_batch_runs_in_plain_torch():
    block = Block(16)
    x = torch.randn(0, 16, 4, 4, requires_grad=True)
    assert block._fast_path(x) is None
    block(x).sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in block.parameters())


def test_meta_and_fake_tensors_run_in_plain_torch():
    assert Block(16).to("meta")(torch.randn(1, 16, 4, 4, device="meta")).is_meta


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def replace(block):
    layer = Doubled(16, 64)
    layer.load_state_dict(block.pwconv1.state_dict())
    block.pwconv1 = layer


@pytest.mark.parametrize(
    "touch",
    [
        replace,
        lambda block: block.norm.register_forward_hook(lambda module, args, out: 2 * out),
        lambda block: block.dwconv.register_forward_pre_hook(lambda module, args: (2 * args[0],)),
        lambda block: torch.nn.utils.parametrizations.weight_norm(block.pwconv2),
    ],
    ids=["replaced", "hook", "pre-hook", "parametrised"],
)
def test_layers_that_were_touched_are_called(touch):
    torch.manual_seed(0)
    block = Block(16)
    nn.init.normal_(block.pwconv1.bias)
    x = torch.randn(1, 16, 6, 6)
    touch(block)
    assert block._fast_path(x) is None
    with kernels.plain_torch():
        want = block(x)
    torch.testing.assert_close(block(x), want)


def test_vmap_and_forward_gradients():
    net = Block(8)
    x, tangent = torch.randn(2, 2, 8, 5, 5), torch.randn(2, 2, 8, 5, 5)
    batched = torch.func.vmap(net)(x)
    torch.testing.assert_close(batched[1], net(x[1]))
    _, forward = torch.func.jvp(net, (x[0],), (tangent[0],))
    assert forward.shape == x[0].shape


@pytest.mark.parametrize("amp", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("layer_scale", [1.0, 0.0], ids=["scale", "unscaled"])
@pytest.mark.parametrize("arch", ["atto", "v2_atto"])
def test_a_network_gives_what_plain_torch_gives(arch, layer_scale, amp, randomise):
    if not (FAST_BF16 if amp else FAST):
        pytest.skip("torch has no oneDNN operators for this type here")
    net = randomise(ConvNeXt(arch, layer_scale_init_value=layer_scale))
    image = torch.randn(2, 3, 75, 110)

    def run(context):
        net.zero_grad()
        x = image.clone().requires_grad_()
        with context, torch.autocast("cpu", torch.bfloat16, enabled=amp):
            outputs = net(x)
        torch.manual_seed(0)
        loss = sum((out.float() * torch.randn(out.shape)).mean() for out in outputs)
        loss.backward()
        gradients = [x.grad, *(p.grad.clone() for p in net.parameters())]
        return [*outputs, *gradients]

    fast, plain = run(contextlib.nullcontext()), run(kernels.plain_torch())
    # Two runs in bfloat16 round differently at each of the fifty layers.
    tolerance = 0.1 if amp else 1e-4
    for got, want in zip(fast, plain, strict=True):
        assert got.dtype == want.dtype and got.stride() == want.stride()
        assert (got - want).norm() <= tolerance * want.norm()
