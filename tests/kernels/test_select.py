"""Which path each case picks, and that a network gives the same on all of them."""

import contextlib
import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.nn.modules import module as global_hooks
from torch.utils.flop_counter import FlopCounterMode

from convnext_dense import ConvNeXt, kernels
from convnext_dense.backbone.block import Block, DropPath
from convnext_dense.kernels import onednn

FAST = onednn.available(torch.float32)
FAST_BF16 = onednn.available(torch.bfloat16)


pytestmark = pytest.mark.usefixtures("fast_at_any_size")


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
def test_path(case, grn, count_fast_products):
    parameters, images, context, fast = CASES[case]
    block = Block(16, grn=grn).to(parameters)
    x = torch.randn(2, 16, 9, 7).to(images)
    with context():
        # Two in a V1 block; two for each sample in a V2 block.
        assert count_fast_products(block, x) == (0 if not fast else 4 if grn else 2)
        assert block(x).shape == x.shape


def test_mixed_types_are_refused_as_torch_does():
    with pytest.raises(RuntimeError, match="type"):
        Block(16)(torch.randn(1, 16, 4, 4).bfloat16())


def test_an_empty_batch_runs_in_plain_torch():
    block = Block(16)
    x = torch.randn(0, 16, 4, 4, requires_grad=True)
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
        lambda block: setattr(block.pwconv1, "forward", lambda x: x.repeat(1, 1, 1, 4)),
        lambda block: setattr(block, "act", nn.GELU(approximate="tanh")),
        lambda block: setattr(block.dwconv, "padding_mode", "circular"),
        lambda block: vars(block.dwconv).update(dilation=(1, 2), padding=(3, 6)),
        lambda block: setattr(block.pwconv2, "bias", None),
        lambda block: setattr(block, "norm", nn.LayerNorm(16, elementwise_affine=False)),
    ],
    ids=[
        "replaced",
        "hook",
        "pre-hook",
        "parametrised",
        "forward",
        "another GELU",
        "another padding",
        "another dilation",
        "no bias",
        "no norm parameters",
    ],
)
def test_layers_that_were_touched_are_called(touch):
    torch.manual_seed(0)
    block = Block(16)
    nn.init.normal_(block.pwconv1.bias)
    x = torch.randn(1, 16, 6, 6)
    touch(block)
    with kernels.plain_torch():
        want = block(x)
    torch.testing.assert_close(block(x), want)


def test_another_drop_path_is_called():
    block = Block(16)
    block.drop_path = nn.Dropout(p=0.5)
    x = torch.randn(1, 16, 6, 6)
    with torch.no_grad():
        assert (block(x) == x).float().mean() > 0.3


class Tripled(DropPath):
    def forward(self, x):
        return 3 * x


class Times(nn.Module):
    """Another package's drop path, of its own signature."""

    def __init__(self, factor):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x):
        return self.factor * x


def triple(module, args, *output):
    """As a hook, or one before the call."""
    return (3 * args[0]) if output else (3 * args[0],)


def triple_input_of_drop_path(block):
    block.drop_path.register_forward_pre_hook(triple)
    block.drop_path.rate = 0.0


@pytest.mark.parametrize("grn", [False, True], ids=["v1", "v2"])
@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
@pytest.mark.parametrize("rate", [0.0, 0.5])
@pytest.mark.parametrize(
    "touch",
    [
        lambda block: setattr(block, "drop_path", Times(3.0)),
        lambda block: setattr(block, "drop_path", Tripled(block.drop_path.rate)),
        lambda block: setattr(block.drop_path, "forward", lambda x: 3 * x),
        lambda block: block.drop_path.register_forward_hook(triple),
        lambda block: block.drop_path.register_forward_hook(
            lambda module, args, kwargs, output: 3 * args[0], with_kwargs=True
        ),
        triple_input_of_drop_path,
    ],
    ids=["replaced", "subclass", "forward", "hook", "hook with kwargs", "pre-hook"],
)
def test_a_drop_path_that_was_touched_is_called(touch, rate, training, grn, randomise):
    block = randomise(Block(16, drop_path_rate=rate, grn=grn)).train(training)
    x = torch.randn(3, 16, 6, 6)
    untouched = copy.deepcopy(block).eval()
    touch(block)
    want = x + 3 * (untouched(x) - x)
    torch.testing.assert_close(block(x), want, rtol=1e-4, atol=1e-4)
    with kernels.plain_torch():
        torch.testing.assert_close(block(x), want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("path", [contextlib.nullcontext, kernels.plain_torch])
@pytest.mark.parametrize(
    "register",
    [
        global_hooks.register_module_forward_pre_hook,
        global_hooks.register_module_forward_hook,
        global_hooks.register_module_full_backward_pre_hook,
        global_hooks.register_module_full_backward_hook,
    ],
)
def test_hooks_on_all_modules_see_drop_path(register, path):
    net, seen = Block(16, drop_path_rate=0.5), []
    handle = register(lambda module, *args: seen.append(module))
    try:
        with path():
            net(torch.randn(2, 16, 6, 6, requires_grad=True)).sum().backward()
    finally:
        handle.remove()
    assert len(seen) == 8
    assert set(seen) == {*net.children(), net}


def test_a_hook_on_all_modules_changes_what_drop_path_returns(randomise):
    block = randomise(Block(16, drop_path_rate=0.5)).eval()
    x = torch.randn(2, 16, 6, 6)
    want = x + 3 * (block(x) - x)
    handle = global_hooks.register_module_forward_hook(
        lambda module, args, output: 3 * output if isinstance(module, DropPath) else None
    )
    try:
        torch.testing.assert_close(block(x), want, rtol=1e-4, atol=1e-4)
    finally:
        handle.remove()


@pytest.mark.parametrize("register", ["full_backward_hook", "full_backward_pre_hook"])
def test_a_backward_hook_on_drop_path_is_called(register):
    block, seen = Block(16, drop_path_rate=0.5), []
    getattr(block.drop_path, f"register_{register}")(lambda *args: seen.append(args))
    block(torch.randn(2, 16, 6, 6)).sum().backward()
    assert len(seen) == 1


def test_many_gradients_at_once():
    net, x = Block(8), torch.randn(1, 8, 5, 5, requires_grad=True)
    out = net(x)
    grads = torch.randn(3, *out.shape)
    batched = torch.autograd.grad(out, x, grads, is_grads_batched=True, retain_graph=True)[0]
    for got, grad in zip(batched, grads, strict=True):
        (want,) = torch.autograd.grad(out, x, grad, retain_graph=True)
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


def test_operators_of_the_backward_pass_are_counted():
    def count(context):
        with context:
            out = Block(16)(torch.randn(1, 16, 8, 8, requires_grad=True))
        with FlopCounterMode(display=False) as counter:
            out.sum().backward()
        return counter.get_total_flops()

    products = 2 * 2 * 2 * 64 * 16 * 64
    assert count(contextlib.nullcontext()) >= products
    assert count(kernels.plain_torch()) >= products


def test_float64_under_autocast_stays_so():
    block = Block(16).double()
    with autocast(torch.bfloat16):
        assert block(torch.randn(1, 16, 4, 4).double()).dtype == torch.float64


@pytest.mark.skipif(not FAST, reason="torch has no oneDNN operators here")
def test_plain_torch_reaches_other_threads(count_fast_products):
    block, x = Block(16), torch.randn(1, 16, 4, 4)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(count_fast_products, block, x).result() == 2
        with kernels.plain_torch():
            assert pool.submit(count_fast_products, block, x).result() == 0


@pytest.mark.parametrize("grn", [False, True], ids=["v1", "v2"])
def test_checkpointing_gives_the_same_gradients(grn, randomise):
    arch = dict(depths=(1, 1), channels=(16, 32), grn=grn)
    plain = randomise(ConvNeXt(arch, out_indices=(0, 1)))
    checkpointed = ConvNeXt(arch, out_indices=(0, 1), with_cp=True)
    checkpointed.load_state_dict(plain.state_dict())
    image = torch.randn(2, 3, 40, 36)
    gradients = []
    for net in (plain, checkpointed):
        sum(out.square().mean() for out in net(image)).backward()
        gradients.append([p.grad for p in net.parameters()])
    for got, want in zip(*gradients, strict=True):
        torch.testing.assert_close(got, want)


@pytest.mark.slow
def test_vmap_and_forward_gradients():
    net = Block(8)
    x, tangent = torch.randn(2, 2, 8, 5, 5), torch.randn(2, 2, 8, 5, 5)
    batched = torch.func.vmap(net)(x)
    torch.testing.assert_close(batched[1], net(x[1]))
    _, forward = torch.func.jvp(net, (x[0],), (tangent[0],))
    assert forward.shape == x[0].shape


@pytest.mark.slow
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
