"""The simple feature pyramid, against its description in ViTDet (arXiv 2203.16527, section 3)."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS as ROOT_MODELS
from torch import nn

from convnext_dense import ConvNeXt
from convnext_dense.heads import SimpleFeaturePyramid

CONFIG = dict(in_channels=8, out_channels=4)


def layer_norm(x, module):
    centred = x - x.mean(1, keepdim=True)
    normed = centred / (centred.square().mean(1, keepdim=True) + 1e-6).sqrt()
    return normed * module.weight[:, None, None] + module.bias[:, None, None]


def reference(neck, x):
    """Compute the four levels of the paper with the values of ``neck``."""

    def larger(x, conv):
        """Write each pixel's 2x2 outputs: a transposed convolution whose size is its stride."""
        n, _, height, width = x.shape
        y = torch.einsum("nchw,cdij->ndhiwj", x, conv.weight)
        return y.reshape(n, -1, 2 * height, 2 * width) + conv.bias[:, None, None]

    def convs(level, x):
        for conv, norm in (neck.lateral_convs[level], neck.fpn_convs[level]):
            x = layer_norm(F.conv2d(x, conv.weight, padding=conv.weight.shape[-1] // 2), norm)
        return x

    first, norm, _, second = neck.resizes[0]
    four = larger(F.gelu(layer_norm(larger(x, first), norm)), second)
    two = larger(x, neck.resizes[1][0])
    # An odd size is rounded up: the pixels beyond the border count as none.
    padded = F.pad(x, (0, x.shape[-1] % 2, 0, x.shape[-2] % 2), value=-torch.inf)
    half = padded.unflatten(-1, (-1, 2)).unflatten(-3, (-1, 2)).amax((-1, -3))
    return [convs(level, y) for level, y in enumerate((four, two, x, half))]


@pytest.mark.parametrize("size", [(4, 6), (5, 3), (1, 1)])
def test_equals_the_paper(size, randomise):
    neck = randomise(SimpleFeaturePyramid(**CONFIG))
    x = torch.randn(2, 8, *size)
    with torch.no_grad():
        got, want = neck((x,)), reference(neck, x)
    for ours, theirs in zip(got, want, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(got, neck(x), strict=True))


@pytest.mark.parametrize("height", [64, 65, 80, 31])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_sizes_fit_each_other_behind_the_backbone(height, ceil_mode):
    arch = dict(depths=(1,), channels=(8,), isotropic=True)
    backbone = ConvNeXt(arch, out_indices=(0,), ceil_mode=ceil_mode)
    neck = SimpleFeaturePyramid(**CONFIG, num_outs=5)
    outputs = neck(backbone(torch.zeros(1, 3, height, 48)))
    rows = -(-height // 16) if ceil_mode else height // 16
    want = [4 * rows, 2 * rows, rows, -(-rows // 2), -(-rows // 4)]
    assert [y.shape[2] for y in outputs] == want
    assert [y.shape[3] for y in outputs] == [12, 6, 3, 2, 1]


def test_extra_levels_are_those_of_an_fpn():
    neck = SimpleFeaturePyramid(**CONFIG, num_outs=6)
    outputs = neck((torch.randn(1, 8, 16, 12),))
    assert len(outputs) == 6
    for before, after in pairwise(outputs[3:]):
        assert torch.equal(after, before[..., ::2, ::2])


def test_every_parameter_has_a_gradient(randomise):
    neck = randomise(SimpleFeaturePyramid(**CONFIG))
    sum(y.square().mean() for y in neck((torch.randn(2, 8, 5, 6),))).backward()
    for name, parameter in neck.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.slow
def test_gradients_are_those_of_finite_differences(randomise):
    neck = randomise(SimpleFeaturePyramid(4, 2)).double()
    x = torch.randn(1, 4, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: neck((x,)), x)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_maps_lie_in_memory_as_the_input_does(memory_format):
    """A compiled RoIAlign reads them as contiguous, whatever their strides are."""
    x = torch.randn(2, 8, 4, 6).contiguous(memory_format=memory_format)
    for y in SimpleFeaturePyramid(**CONFIG, num_outs=5)((x,))[:4]:
        assert y.is_contiguous(memory_format=memory_format)


def test_scale_factors_choose_the_strides():
    neck = SimpleFeaturePyramid(**CONFIG, scale_factors=(8, 2, 2, 0.25))
    sizes = [tuple(y.shape[2:]) for y in neck((torch.zeros(1, 8, 5, 4),))]
    assert sizes == [(40, 32), (10, 8), (10, 8), (2, 1)]


@pytest.mark.parametrize(
    "norm_cfg, kind, bias",
    [
        (dict(type="BN"), nn.BatchNorm2d, False),
        (dict(type="GN", num_groups=2), nn.GroupNorm, False),
        (dict(type="LN2d", eps=1e-3), nn.LayerNorm, False),
        (None, nn.Identity, True),
    ],
)
def test_norms(norm_cfg, kind, bias):
    pytest.importorskip("mmcv")
    neck = SimpleFeaturePyramid(**CONFIG, norm_cfg=norm_cfg)
    norms = [neck.resizes[0][1], *(conv[1] for conv in (*neck.lateral_convs, *neck.fpn_convs))]
    assert all(isinstance(norm, kind) for norm in norms)
    assert all((conv[0].bias is not None) is bias for conv in neck.lateral_convs)
    if norm_cfg and "eps" in norm_cfg:
        assert {norm.eps for norm in norms} == {1e-3}
    assert len(neck((torch.zeros(2, 8, 3, 3),))) == 4


@pytest.mark.slow
@pytest.mark.parametrize("scope", ["mmengine", "mmdet", "mmseg"])
def test_builds_in_every_scope(scope):
    models = ROOT_MODELS
    if scope != "mmengine":
        models = pytest.importorskip(f"{scope}.registry").MODELS
    for name in ("SimpleFeaturePyramid", "convnext_dense.SimpleFeaturePyramid"):
        neck = models.build(dict(type=name, in_channels=[8], out_channels=4))
        assert type(neck) is SimpleFeaturePyramid


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        (dict(in_channels=[8, 8]), TypeError, r"in_channels is one integer, got \[8, 8\]"),
        (dict(in_channels=6), ValueError, "in_channels is a multiple of the largest .*got 6 and 4"),
        (dict(out_channels=0), ValueError, "out_channels is at least 1, got 0"),
        (dict(num_outs=3), ValueError, r"num_outs is at least the number.*got 3 for \(4, 2, 1"),
        (dict(scale_factors=()), ValueError, "at least 1, got 0"),
        (dict(scale_factors=(3,)), ValueError, "powers of two.*got 3"),
        (dict(scale_factors=("4",)), ValueError, "powers of two.*got '4'"),
        (dict(norm_cfg=dict(type="Nonorm")), ValueError, "norm_cfg has a type, LN or.*'Nonorm'"),
        (dict(norm_cfg=dict(eps=1)), ValueError, "norm_cfg has a type, LN or"),
    ],
)
def test_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        SimpleFeaturePyramid(**(CONFIG | arguments))


def test_refuses_several_maps():
    with pytest.raises(ValueError, match="reads one map, got 2: give the backbone one output"):
        SimpleFeaturePyramid(**CONFIG)([torch.zeros(1, 8, 2, 2)] * 2)
