"""The networks from ResNet to ConvNeXt: both ends, and what every step in between can do."""

from __future__ import annotations

import copy
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from convnext_dense import ConvNeXt
from convnext_dense.backbone import ResNetToConvNeXt
from convnext_dense.backbone.roadmap import FIRST, LAST, STEPS
from convnext_dense.benchmark.peers.torchvision_stand_in import import_without_torchvision
from convnext_dense.registry import MODELS

BETWEEN = [name for name in STEPS if name != LAST]
CEIL = ["resnet", "stage_ratio"]
# A step of each kind of stem, block, activation and norm.
KINDS = ["resnet", "patchify_stem", "inverted_bottleneck", "kernel_7", "fewer_norms", "layer_norm"]


def images(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def random_values(net, seed=0):
    """Return a state in which each value matters, norms and their statistics too."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, value in net.state_dict().items():
        drawn = torch.randn(value.shape, generator=generator)
        if name.endswith("running_var"):
            state[name] = 0.5 + drawn.abs()
        elif value.ndim > 1:
            state[name] = drawn * (2 / value[0].numel()) ** 0.5
        else:
            state[name] = 0.1 * drawn + name.endswith(".weight")
    return state


def assert_same_maps(ours, theirs):
    assert [a.shape for a in ours] == [b.shape for b in theirs]
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4 * b.abs().max().item())


@pytest.mark.slow
@pytest.mark.parametrize("size", [(64, 64), (45, 67)])
def test_first_step_is_resnet50_of_mmdet(size):
    theirs = pytest.importorskip("mmdet.models").ResNet(50)
    theirs.eval()
    ours = ResNetToConvNeXt("resnet").eval()
    state = random_values(ours)
    ours.load_state_dict(state)
    theirs.load_state_dict(state)
    with torch.no_grad():
        assert_same_maps(ours(images(2, 3, *size)), theirs(images(2, 3, *size)))


@pytest.mark.slow
@pytest.mark.parametrize(("regime", "name"), [("tiny", "resnet50"), ("base", "resnet200")])
def test_first_step_is_resnet_of_timm(regime, name):
    if find_spec("timm") is None:
        pytest.skip("timm is not installed")
    timm = import_without_torchvision("timm")
    theirs = timm.create_model(name, features_only=True, out_indices=(1, 2, 3, 4)).eval()
    ours = ResNetToConvNeXt("resnet", regime).eval()
    state = random_values(ours)
    ours.load_state_dict(state)
    theirs.load_state_dict(state)
    with torch.no_grad():
        assert_same_maps(ours(images(1, 3, 45, 33)), theirs(images(1, 3, 45, 33)))


@pytest.mark.slow
@pytest.mark.parametrize(("regime", "arch"), [("tiny", "tiny"), ("base", "base")])
def test_last_step_is_convnext(regime, arch):
    torch.manual_seed(0)
    ours = ResNetToConvNeXt(
        LAST, regime, drop_path_rate=0.1, norm_eval=True, norm_cfg=dict(type="SyncBN")
    )
    torch.manual_seed(0)
    theirs = ConvNeXt(arch, drop_path_rate=0.1)
    assert type(ours) is ConvNeXt
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value), name
    with torch.no_grad():
        maps = zip(
            ours.eval()(images(1, 3, 32, 64)), theirs.eval()(images(1, 3, 32, 64)), strict=True
        )
        assert all(torch.equal(a, b) for a, b in maps)


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_every_parameter_has_a_gradient(step):
    net = ResNetToConvNeXt(step, drop_path_rate=0.1, init_cfg=None).train()
    torch.manual_seed(0)
    maps = net(images(2, 3, 64, 64))
    sum((y * images(*y.shape, seed=1)).sum() for y in maps).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def ceil(size, stride):
    return -(-size // stride)


@pytest.mark.slow
@pytest.mark.parametrize("step", BETWEEN)
def test_odd_sizes_round_up_where_the_stem_does(step):
    with torch.device("meta"):
        for ceil_mode in (False, True):
            net = ResNetToConvNeXt(step, ceil_mode=ceil_mode).eval()
            for size in ((33, 65), (37, 70), (7, 5)):
                if ceil_mode or step in CEIL:
                    first = [ceil(s, 4) for s in size]
                else:
                    first = [s // 4 for s in size]
                wanted = [tuple(ceil(s, 2**stage) for s in first) for stage in range(4)]
                maps = net(torch.empty(1, 3, *size))
                assert [tuple(y.shape[2:]) for y in maps] == wanted
                assert tuple(y.shape[1] for y in maps) == net.out_channels
    assert net.out_strides == (4, 8, 16, 32)


@pytest.mark.slow
@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("step", KINDS)
def test_dilated_maps_agree_where_the_strided_ones_look(step, output_stride):
    strided = ResNetToConvNeXt(step).eval()
    dilated = ResNetToConvNeXt(step, output_stride=output_stride).eval()
    state = random_values(strided)
    strided.load_state_dict(state)
    dilated.load_state_dict(state)
    with torch.no_grad():
        coarse, fine = strided(images(1, 3, 72, 56)), dilated(images(1, 3, 72, 56))
    assert dilated.out_strides == tuple(min(stride, output_stride) for stride in (4, 8, 16, 32))
    every = [a // b for a, b in zip(strided.out_strides, dilated.out_strides, strict=True)]
    assert_same_maps([y[..., ::n, ::n] for y, n in zip(fine, every, strict=True)], coarse)


@pytest.mark.slow
@pytest.mark.parametrize("step", KINDS)
def test_recomputing_blocks_changes_nothing(step):
    plain = ResNetToConvNeXt(step).train()
    recomputing = ResNetToConvNeXt(step, with_cp=True).train()
    recomputing.load_state_dict(plain.state_dict())
    for net in (plain, recomputing):
        sum((y * images(*y.shape, seed=1)).sum() for y in net(images(2, 3, 48, 48))).backward()
    for (name, one), other in zip(plain.named_parameters(), recomputing.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad), name
    for (name, one), other in zip(plain.named_buffers(), recomputing.buffers(), strict=True):
        assert torch.equal(one, other), name


@pytest.mark.parametrize("step", ["resnet", "fewer_norms"])
@pytest.mark.parametrize("frozen_stages", [-1, 0, 2])
def test_freezes_the_stem_and_n_stages(step, frozen_stages):
    with torch.device("meta"):
        net = ResNetToConvNeXt(step, frozen_stages=frozen_stages).train()
    parts = (("conv1.", "bn1."), ("layer1.",), ("layer2.",), ("layer3.",), ("layer4.",))
    prefixes = tuple(part for n in range(frozen_stages + 1) for part in parts[n])
    for name, parameter in net.named_parameters():
        assert parameter.requires_grad != name.startswith(prefixes), name
    for name, module in net.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.training != name.startswith(tuple(p.rstrip(".") for p in prefixes)), name


def test_norm_eval_keeps_statistics_but_trains_weights():
    net = ResNetToConvNeXt("fewer_norms", norm_eval=True, out_indices=(0,))
    nn.Sequential(net).train()
    before = copy.deepcopy(dict(net.named_buffers()))
    net(images(2, 3, 32, 32))[0].sum().backward()
    assert all(torch.equal(before[name], value) for name, value in net.named_buffers())
    assert net.training and net.layer1[0].bn1.weight.grad is not None


def test_norm_cfg_is_of_the_batch_norms():
    with torch.device("meta"):
        plain, synced, kept, layers = (
            ResNetToConvNeXt(step, norm_cfg=norm_cfg, out_indices=(0,))
            for step, norm_cfg in (
                (FIRST, None),
                (FIRST, dict(type="SyncBN", requires_grad=True)),
                (FIRST, dict(type="BN", requires_grad=False)),
                ("layer_norm", dict(type="SyncBN", requires_grad=False)),
            )
        )
    assert not any(isinstance(m, nn.SyncBatchNorm) for m in plain.modules())
    assert not any(type(m) is nn.BatchNorm2d for m in synced.modules())
    assert list(plain.state_dict()) == list(synced.state_dict())
    for name, parameter in kept.named_parameters():
        assert parameter.requires_grad == ("conv" in name or name.endswith("downsample.0.weight"))
    assert all(parameter.requires_grad for parameter in layers.parameters())


def test_copies():
    net = ResNetToConvNeXt("layer_norm", out_indices=(0,)).eval()
    again = copy.deepcopy(net)
    with torch.no_grad():
        assert torch.equal(net(images(1, 3, 32, 32))[0], again(images(1, 3, 32, 32))[0])


def test_only_what_the_outputs_need_is_built():
    with torch.device("meta"):
        net = ResNetToConvNeXt("gelu", out_indices=(-3,))
    assert not hasattr(net, "layer3")
    assert (net.out_channels, net.out_strides) == ((192,), (8,))


@pytest.mark.parametrize(
    ("name", "regime", "layer_wise", "stage_wise"),
    [
        ("conv1.weight", "tiny", 0, 0),
        ("bn1.bias", "tiny", 0, 0),
        ("layer1.2.conv1.weight", "tiny", 1, 1),
        ("layer2.0.downsample.0.weight", "tiny", 2, 2),
        ("layer2.3.bn2.weight", "tiny", 3, 2),
        ("layer3.5.conv3.weight", "tiny", 5, 3),
        ("layer4.2.conv3.weight", "tiny", 6, 4),
        ("layer3.35.conv3.weight", "base", 21, 3),
    ],
)
def test_layer_ids(name, regime, layer_wise, stage_wise):
    with torch.device("meta"):
        net = ResNetToConvNeXt("resnet", regime)
    assert name in net.state_dict()
    assert net.layer_id(name) == layer_wise
    assert net.layer_id(name, "stage_wise") == stage_wise
    assert net.num_layers == {"tiny": 6, "base": 22}[regime]


WRONG = {
    "no step": (dict(step="kernel7"), "no step 'kernel7'.*choose one of kernel_7, "),
    "a step that is no name": (dict(step=7), "no step 7"),
    "no regime": (dict(regime="small"), "regime is tiny .* or base .*got 'small'"),
    "no regime of the last": (dict(step=LAST, regime="large"), "regime .*got 'large'"),
    "stem": (dict(step="gelu", output_stride=4), "output_stride is one of 8, 16, 32.*stem.*got 4"),
    "stem of the last": (dict(step=LAST, output_stride=4), "output_stride is one of"),
    "outputs": (dict(out_indices=(4,)), "out_indices holds ascending stages"),
    "frozen": (dict(frozen_stages=5), "frozen_stages is -1 to 4"),
    "drop path": (dict(drop_path_rate=1.0), "drop_path_rate is in"),
    "norm": (dict(norm_cfg=dict(type="GN", num_groups=2)), "norm_cfg has the type BN or SyncBN"),
    "channels": (dict(in_channels=0), "in_channels is at least 1"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(dict(type="ResNetToConvNeXt", **arguments))


@pytest.mark.parametrize("step", ["patchify_stem", LAST])
def test_images_too_small_for_the_stem(step):
    net = ResNetToConvNeXt(step, out_indices=(0,))
    with pytest.raises(ValueError, match=r"at least 4 x 4 pixels.*got 3 x 64"):
        net(images(1, 3, 3, 64))
