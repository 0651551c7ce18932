"""The isotropic ConvNeXt (arXiv 2201.03545, section 3.3): one stage at stride 16."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from convnext_dense import ConvNeXt
from convnext_dense.backbone import ARCHS, resolve_arch
from convnext_dense.kernels import plain_torch

SMALL = dict(depths=(3,), channels=(16,), isotropic=True)


def build(**kwargs):
    return ConvNeXt(**(dict(arch=SMALL, out_indices=(0,)) | kwargs))


def randomise(net):
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.3)
    return net


def reference(net, image):
    """Compute the one map from the paper's text, with the values of ``net``."""
    state = net.state_dict()

    def norm(name, x):
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return F.layer_norm(x.movedim(1, -1), weight.shape, weight, bias, 1e-6)

    stem = "downsample_layers.0.0"
    x = F.conv2d(image, state[f"{stem}.weight"], state[f"{stem}.bias"], stride=16)
    for block in range(net.arch.depths[0]):
        at = f"stages.0.{block}"
        conv, bias = state[f"{at}.dwconv.weight"], state[f"{at}.dwconv.bias"]
        y = norm(f"{at}.norm", F.conv2d(x, conv, bias, padding=3, groups=len(conv)))
        y = F.gelu(y @ state[f"{at}.pwconv1.weight"].T + state[f"{at}.pwconv1.bias"])
        y = y @ state[f"{at}.pwconv2.weight"].T + state[f"{at}.pwconv2.bias"]
        x = x + (state.get(f"{at}.gamma", torch.ones(())) * y).movedim(-1, 1)
    return norm("norm0", x).movedim(-1, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, millions, giga", [("small", 22, 4.3), ("base", 87, 16.9), ("large", 306, 59.7)]
)
def test_parameters_and_flops_are_those_of_table_2(name, millions, giga):
    """As the paper counts: multiply-adds of convolutions, linear layers and the classifier."""
    macs = 0

    def count(module, args, output):
        nonlocal macs
        # A convolution has a bias for each channel, (N, C, H, W); a linear layer's come last.
        positions = output.numel() // module.weight.shape[0]
        macs += positions * module.weight.numel()

    with torch.device("meta"):
        net = ConvNeXt(f"iso_{name}", out_indices=(0,))
        for module in net.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                module.register_forward_hook(count)
        (output,) = net(torch.empty(1, 3, 224, 224))
    assert output.shape[2:] == (14, 14)
    head = 1000 * net.out_channels[0]
    parameters = sum(p.numel() for p in net.parameters()) + head + 1000
    assert round(parameters / 1e6) == millions
    assert round((macs + head) / 1e9, 1) == giga


@pytest.mark.slow
def test_layer_scale_is_that_of_the_paper():
    with torch.device("meta"):
        nets = {name: ConvNeXt(name, out_indices=(0,)) for name in ARCHS if "iso" in name}
    assert [net.stages[0][0].gamma is None for net in nets.values()] == [True, True, False]
    large = resolve_arch("iso_large")
    assert large.initial_layer_scale == 1e-6
    assert ConvNeXt("atto").stages[0][0].gamma[0] == 1.0


@pytest.mark.parametrize("layer_scale", [0.0, 1e-6])
@pytest.mark.parametrize("size", [(48, 80), (57, 95)], ids=["divisible", "odd"])
def test_equals_the_paper_on_every_path(layer_scale, size):
    net = randomise(build(layer_scale_init_value=layer_scale)).eval()
    image = torch.randn(2, 3, *size)
    assert (net.out_channels, net.out_strides) == ((16,), (16,))
    with torch.no_grad():
        want = reference(net, image)
        (fast,) = net(image)
        with plain_torch():
            (plain,) = net(image)
    for got in (fast, plain):
        assert got.shape == (2, 16, 3, 5) and got.is_contiguous()
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5 * want.abs().max().item())


def test_fast_path_without_layer_scale_is_taken(monkeypatch):
    """On a map that is large enough; see ``kernels.onednn.is_worthwhile``."""
    from convnext_dense.kernels import onednn

    if not onednn.available(torch.float32):
        pytest.skip("oneDNN's operators are missing or other than tested")
    calls = []
    mlp = onednn.mlp
    monkeypatch.setattr(onednn, "mlp", lambda *args: calls.append(1) or mlp(*args))
    monkeypatch.setattr(onednn, "is_worthwhile", lambda x, dtype: True)
    net = randomise(build()).eval()
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        (got,) = net(image)
        want = reference(net, image)
    assert len(calls) == 3
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5 * want.abs().max().item())


def test_every_parameter_has_a_gradient_also_recomputed():
    net = randomise(build(with_cp=True, drop_path_rate=0.0))
    twin = build()
    twin.load_state_dict(net.state_dict())
    image = torch.randn(2, 3, 32, 48)
    for one in (net, twin):
        one(image)[0].square().mean().backward()
    for (name, a), b in zip(net.named_parameters(), twin.parameters(), strict=True):
        assert a.grad.abs().sum() > 0, name
        torch.testing.assert_close(a.grad, b.grad)


def test_drop_path_grows_over_the_blocks():
    net = build(drop_path_rate=0.4)
    assert [block.drop_path.rate for block in net.stages[0]] == pytest.approx([0, 0.2, 0.4])


def test_frozen_stages():
    stem, everything = build(frozen_stages=0), build(frozen_stages=1)
    trained = [name for name, p in stem.named_parameters() if p.requires_grad]
    assert trained and not any(name.startswith("downsample_layers") for name in trained)
    assert not any(p.requires_grad for p in everything.parameters())


def test_ceil_mode_pads_what_is_left_over():
    net = randomise(build(ceil_mode=True)).eval()
    padded = randomise(build()).eval()
    padded.load_state_dict(net.state_dict())
    image = torch.randn(1, 3, 33, 15)
    with torch.no_grad():
        (got,) = net(image)
        (want,) = padded(F.pad(image, (0, 1, 0, 15)))
    assert got.shape == (1, 16, 3, 1)
    torch.testing.assert_close(got, want)


@pytest.mark.slow
def test_each_block_is_a_layer_of_the_decay():
    """As in ViT's published decay: stem 0, block i at i + 1, the last norm after all."""
    with torch.device("meta"):
        net = ConvNeXt("iso_small", out_indices=(0,))
    assert net.num_layers == 18
    names = [name for name, _ in net.named_parameters()]
    ids = {name: net.layer_id(name) for name in names}
    assert ids["downsample_layers.0.0.weight"] == 0
    assert [ids[f"stages.0.{block}.dwconv.weight"] for block in range(18)] == list(range(1, 19))
    assert ids["norm0.weight"] == 19
    assert {net.layer_id(name, "stage_wise") for name in names} == {0, 1, 19}


@pytest.mark.slow
def test_compiles_as_one_graph():
    net = randomise(build()).eval()
    image = torch.randn(1, 3, 40, 64)
    with torch.no_grad():
        compiled = torch.compile(net, fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(image)[0], net(image)[0])
        exported = torch.export.export(net, (image,)).module()
        torch.testing.assert_close(exported(image)[0], net(image)[0])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(out_indices=(0, 1, 2, 3)), r"the one stage that there is, \(0,\), got \(0, 1"),
        (dict(out_indices=(1,)), r"the one stage that there is, \(0,\), got \(1,\)"),
        (dict(out_indices=()), r"the one stage that there is, \(0,\), got \(\)"),
        (dict(output_stride=8), r"output_stride is one of \[16, 32\] for an isotropic arch, got 8"),
        (dict(frozen_stages=2), "frozen_stages is -1 to 1, got 2"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**arguments)


def test_refuses_images_that_the_stem_cannot_cut():
    with pytest.raises(ValueError, match=r"at least 16 x 16 pixels.*got 15 x 64.*ceil_mode"):
        build()(torch.zeros(1, 3, 15, 64))
    with pytest.raises(ValueError, match=r"at least 32 x 32 pixels.*got 16 x 31"):
        ConvNeXt("atto")(torch.zeros(1, 3, 16, 31))
