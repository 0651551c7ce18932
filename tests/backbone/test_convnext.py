"""Shapes, arguments, what is built, and gradients."""

from __future__ import annotations

import pytest
import torch

from convnext_dense import ConvNeXt

SMALL = dict(depths=(1, 1, 2, 1), channels=(8, 12, 16, 20))
SMALL_V2 = SMALL | dict(grn=True)


def shapes(outputs):
    return [tuple(output.shape) for output in outputs]


@pytest.mark.parametrize("size", [(32, 32), (33, 63), (95, 130)], ids=str)
def test_output_shapes(size):
    net = ConvNeXt(SMALL)
    height, width = size
    outputs = net(torch.randn(2, 3, height, width))
    assert isinstance(outputs, tuple)
    assert shapes(outputs) == [
        (2, channels, height // stride, width // stride)
        for channels, stride in zip(net.out_channels, net.out_strides, strict=True)
    ]


def test_knows_its_outputs():
    net = ConvNeXt("v2_atto")
    assert net.out_channels == (40, 80, 160, 320)
    assert net.out_strides == (4, 8, 16, 32)


@pytest.mark.parametrize("in_channels", [1, 4])
def test_in_channels(in_channels):
    net = ConvNeXt(SMALL, in_channels=in_channels)
    assert shapes(net(torch.randn(1, in_channels, 32, 32)))[-1] == (1, 20, 1, 1)


@pytest.mark.parametrize("num_stages", [1, 2, 3, 5])
def test_any_number_of_stages(num_stages):
    arch = dict(depths=[1] * num_stages, channels=[4 * (i + 1) for i in range(num_stages)])
    net = ConvNeXt(arch, out_indices=range(num_stages), output_stride=max(32, 2**num_stages * 2))
    assert net.out_strides == tuple(4 * 2**i for i in range(num_stages))
    outputs = net(torch.randn(1, 3, 64, 128))
    assert shapes(outputs) == [
        (1, 4 * (i + 1), 64 // stride, 128 // stride) for i, stride in enumerate(net.out_strides)
    ]


@pytest.mark.parametrize(
    "out_indices, stages",
    [([0], [0]), ((1, 3), [1, 3]), ((-1,), [3]), ((-4, -2), [0, 2]), ((0, -1), [0, 3])],
)
def test_out_indices(out_indices, stages, randomise):
    torch.manual_seed(1)
    whole = randomise(ConvNeXt(SMALL))
    part = ConvNeXt(SMALL, out_indices=out_indices)
    part.load_state_dict({name: whole.state_dict()[name] for name in part.state_dict()})
    image = torch.randn(1, 3, 64, 64)
    every = whole(image)
    assert part.out_channels == tuple(whole.out_channels[i] for i in stages)
    assert part.out_strides == tuple(whole.out_strides[i] for i in stages)
    for got, stage in zip(part(image), stages, strict=True):
        assert torch.equal(got, every[stage])


@pytest.mark.parametrize(
    "argument, message",
    [
        (dict(arch="resnet50"), "unknown arch 'resnet50', choose one of atto"),
        (dict(in_channels=0), "in_channels is at least 1, got 0"),
        (dict(out_indices=()), r"ascending stages from -4 to 3, got \(\)"),
        (dict(out_indices=3), "ascending stages from -4 to 3, got 3"),
        (dict(out_indices="0123"), "ascending stages from -4 to 3, got '0123'"),
        (dict(out_indices=(0, 4)), r"ascending stages from -4 to 3, got \(0, 4\)"),
        (dict(out_indices=(-5,)), r"ascending stages from -4 to 3, got \(-5,\)"),
        (dict(out_indices=(0.5,)), r"ascending stages from -4 to 3, got \(0.5,\)"),
        (dict(out_indices=(1, 0)), r"ascending stages from -4 to 3, each once, got \(1, 0\)"),
        (dict(out_indices=(2, 2)), r"each once, got \(2, 2\)"),
        (dict(out_indices=(3, -1)), r"each once, got \(3, -1\)"),
        (dict(drop_path_rate=1.0), r"drop_path_rate is in \[0, 1\), got 1.0"),
        (dict(drop_path_rate=-0.1), r"drop_path_rate is in \[0, 1\), got -0.1"),
        (dict(layer_scale_init_value=-1.0), "layer_scale_init_value is 0 or more, got -1.0"),
        (dict(output_stride=4), r"output_stride is one of \[8, 16, 32\], got 4"),
        (dict(output_stride=64), r"output_stride is one of \[8, 16, 32\], got 64"),
        (dict(kernel_size=4), "kernel_size is odd, got 4"),
        (dict(kernel_size=-7), "kernel_size is odd, got -7"),
        (dict(frozen_stages=-2), "frozen_stages is -1 to 4, got -2"),
        (dict(frozen_stages=5), "frozen_stages is -1 to 4, got 5"),
    ],
    ids=str,
)
def test_refuses_an_argument(argument, message):
    with pytest.raises(ValueError, match=message):
        ConvNeXt(**({"arch": SMALL} | argument))


def test_a_range_follows_the_number_of_stages():
    with pytest.raises(ValueError, match="stages from -2 to 1"):
        ConvNeXt(dict(depths=(1, 1), channels=(4, 4)))
    five = dict(depths=(1,) * 5, channels=(4,) * 5)
    with pytest.raises(ValueError, match=r"one of \[8, 16, 32, 64\], got 128"):
        ConvNeXt(five, output_stride=128)


def test_builds_only_what_the_outputs_need():
    net = ConvNeXt(SMALL, out_indices=(0, 2))
    assert len(net.stages) == len(net.downsample_layers) == 3
    assert [name for name, _ in net.named_children() if name.startswith("norm")] == [
        "norm0",
        "norm2",
    ]
    raw = ConvNeXt(SMALL, norm_out=False)
    assert not any(name.startswith("norm") for name, _ in raw.named_children())


@pytest.mark.slow
@pytest.mark.parametrize("norm_out", [True, False])
@pytest.mark.parametrize("out_indices", [(0, 1, 2, 3), (2,), (1, -1)], ids=str)
@pytest.mark.parametrize("arch", [SMALL, SMALL_V2], ids=["v1", "v2"])
def test_every_parameter_gets_a_gradient(arch, out_indices, norm_out, randomise):
    net = randomise(ConvNeXt(arch, out_indices=out_indices, norm_out=norm_out))
    sum((output**3).sum() for output in net(torch.randn(2, 3, 64, 64))).backward()
    without = [
        name
        for name, param in net.named_parameters()
        if param.grad is None or not param.grad.abs().sum() > 0
    ]
    assert without == []


def test_starts_as_published():
    # Truncated normal of std 0.02 for weights, zero for biases, identity for norms and GRN.
    net = ConvNeXt(dict(depths=(1, 1), channels=(64, 128), grn=True), out_indices=(0, 1))
    for name, param in net.named_parameters():
        if param.ndim > 1:
            assert param.std().item() == pytest.approx(0.02, rel=0.1), name
            assert abs(param.mean().item()) < 0.002, name
        else:
            start = 1.0 if name.endswith("weight") else 0.0
            assert torch.equal(param, torch.full_like(param, start)), name


# The published scales, as decay exponents counted from the heads: with n layers the scale is
# decay ** (n + 1 - id), and id is n + 1 for the output norms.
LAYER_WISE = {
    "tiny": {
        "downsample_layers.0.0.weight": 0,
        "downsample_layers.0.1.bias": 0,
        "stages.0.2.gamma": 1,
        "downsample_layers.1.0.weight": 2,
        "stages.1.0.norm.weight": 2,
        "downsample_layers.2.1.weight": 3,
        "stages.2.2.pwconv1.weight": 3,
        "stages.2.3.pwconv1.weight": 4,
        "stages.2.8.pwconv2.bias": 5,
        "downsample_layers.3.1.weight": 6,
        "stages.3.2.dwconv.weight": 6,
        "norm0.weight": 7,
        "norm3.bias": 7,
    },
    "xlarge": {
        "downsample_layers.0.0.weight": 0,
        "stages.0.0.gamma": 1,
        "downsample_layers.1.1.weight": 2,
        "downsample_layers.2.0.weight": 3,
        "stages.2.0.gamma": 3,
        "stages.2.26.gamma": 11,
        "downsample_layers.3.0.weight": 12,
        "stages.3.0.gamma": 12,
        "norm1.weight": 13,
    },
}


@pytest.mark.parametrize("arch", LAYER_WISE)
def test_layer_ids_are_the_published_ones(arch):
    with torch.device("meta"):
        net = ConvNeXt(arch)
    assert net.num_layers == {"tiny": 6, "xlarge": 12}[arch]
    assert {name: net.layer_id(name) for name in LAYER_WISE[arch]} == LAYER_WISE[arch]


def test_stage_wise_layer_ids_are_the_published_ones():
    net = ConvNeXt("atto")
    names = ["downsample_layers.0.0.bias", "downsample_layers.3.0.bias", "stages.0.1.gamma"]
    names += ["stages.3.1.gamma", "norm3.bias"]
    ids = [net.layer_id(name, "stage_wise") for name in names]
    assert ids == [0, 0, 1, 4, net.num_layers + 1]


@pytest.mark.parametrize("depths", [(1,), (2, 7, 4), (1, 1, 1, 1, 1)], ids=str)
def test_layer_ids_stay_in_range_and_never_fall_with_depth(depths):
    # At any depth, so that no learning-rate scale can exceed 1.
    arch = dict(depths=depths, channels=[4] * len(depths))
    net = ConvNeXt(arch, out_indices=range(len(depths)))
    ids = []
    for stage, depth in enumerate(depths):
        ids.append(net.layer_id(f"downsample_layers.{stage}.0.weight"))
        ids += [net.layer_id(f"stages.{stage}.{block}.gamma") for block in range(depth)]
    assert ids == sorted(ids)
    assert (ids[0], ids[-1]) == (0, net.num_layers)
    assert net.layer_id("norm0.weight") == net.num_layers + 1


def test_refuses_another_decay_type():
    with pytest.raises(ValueError, match="layer_wise or stage_wise, got 'block_wise'"):
        ConvNeXt(SMALL).layer_id("norm0.weight", "block_wise")
