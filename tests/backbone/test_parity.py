"""Output equal to the published module's, against a reference written from the equations.

ConvNeXt, arXiv 2201.03545: the stem cuts 4x4 patches; a block is a depthwise convolution, a layer
norm over channels, a linear layer to 4C, GELU, a linear layer to C, layer scale and a residual;
a stage begins with a layer norm and 2x2 patches. ConvNeXt V2, arXiv 2301.00808, equations 1 to 3:
GRN follows GELU and replaces layer scale. Everything below is (N, C, H, W) and in float64.
"""

from __future__ import annotations

import math

import pytest
import torch

from convnext_dense import ConvNeXt, load_weights
from convnext_dense.backbone import resolve_arch

EPS = 1e-6


def published_state_dict(depths, channels, grn, in_channels=3, kernel_size=7):
    """Random weights under the names and in the shapes of Meta's files."""

    def matrix(*shape):
        return torch.randn(shape) / math.sqrt(math.prod(shape[1:]))

    def vector(n, centre):
        return centre + 0.3 * torch.randn(n)

    state = {}
    for i, (depth, c) in enumerate(zip(depths, channels, strict=True)):
        before = in_channels if i == 0 else channels[i - 1]
        conv, norm, normed = (0, 1, c) if i == 0 else (1, 0, before)
        size = 4 if i == 0 else 2
        state |= {
            f"downsample_layers.{i}.{conv}.weight": matrix(c, before, size, size),
            f"downsample_layers.{i}.{conv}.bias": vector(c, 0.0),
            f"downsample_layers.{i}.{norm}.weight": vector(normed, 1.0),
            f"downsample_layers.{i}.{norm}.bias": vector(normed, 0.0),
        }
        for j in range(depth):
            block = f"stages.{i}.{j}"
            if grn:
                state[f"{block}.grn.gamma"] = vector((1, 1, 1, 4 * c), 0.0)
                state[f"{block}.grn.beta"] = vector((1, 1, 1, 4 * c), 0.0)
            else:
                state[f"{block}.gamma"] = vector(c, 1.0)
            state |= {
                f"{block}.dwconv.weight": matrix(c, 1, kernel_size, kernel_size),
                f"{block}.dwconv.bias": vector(c, 0.0),
                f"{block}.norm.weight": vector(c, 1.0),
                f"{block}.norm.bias": vector(c, 0.0),
                f"{block}.pwconv1.weight": matrix(4 * c, c),
                f"{block}.pwconv1.bias": vector(4 * c, 0.0),
                f"{block}.pwconv2.weight": matrix(c, 4 * c),
                f"{block}.pwconv2.bias": vector(c, 0.0),
            }
        state[f"norm{i}.weight"] = vector(c, 1.0)
        state[f"norm{i}.bias"] = vector(c, 0.0)
    return state


def patches(x, weight, bias):
    """Convolution whose stride is its kernel size: one matrix product per patch."""
    size = weight.shape[-1]
    n, c, h, w = x.shape
    x = x[:, :, : h // size * size, : w // size * size]
    x = x.reshape(n, c, h // size, size, w // size, size)
    return torch.einsum("nchiwj,ocij->nohw", x, weight) + per_channel(bias)


def depthwise(x, weight, bias):
    """Sum of shifted copies of the zero-padded map, each weighted per channel."""
    h, w = x.shape[2:]
    size = weight.shape[-1]
    padded = x.new_zeros(*x.shape[:2], h + size - 1, w + size - 1)
    padded[:, :, size // 2 : size // 2 + h, size // 2 : size // 2 + w] = x
    shifts = (
        padded[:, :, i : i + h, j : j + w] * per_channel(weight[:, 0, i, j])
        for i in range(size)
        for j in range(size)
    )
    return sum(shifts) + per_channel(bias)


def linear(x, weight, bias):
    return torch.einsum("nchw,oc->nohw", x, weight) + per_channel(bias)


def layer_norm(x, weight, bias):
    centred = x - x.mean(1, keepdim=True)
    variance = (centred**2).mean(1, keepdim=True)
    return centred / torch.sqrt(variance + EPS) * per_channel(weight) + per_channel(bias)


def gelu(x):
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def grn(x, gamma, beta):
    response = (x**2).sum((2, 3), keepdim=True).sqrt()
    relative = response / (response.mean(1, keepdim=True) + EPS)
    return per_channel(gamma) * (x * relative) + per_channel(beta) + x


def per_channel(vector):
    return vector.reshape(-1, 1, 1)


def reference(state, x, depths):
    """Outputs of all stages, each after its norm and before it."""
    state = {name: value.double() for name, value in state.items()}

    def weights(name):
        return state[f"{name}.weight"], state[f"{name}.bias"]

    x = x.double()
    outputs = []
    for i, depth in enumerate(depths):
        if i == 0:
            x = layer_norm(
                patches(x, *weights("downsample_layers.0.0")), *weights("downsample_layers.0.1")
            )
        else:
            x = layer_norm(x, *weights(f"downsample_layers.{i}.0"))
            x = patches(x, *weights(f"downsample_layers.{i}.1"))
        for j in range(depth):
            block = f"stages.{i}.{j}"
            y = layer_norm(depthwise(x, *weights(f"{block}.dwconv")), *weights(f"{block}.norm"))
            y = gelu(linear(y, *weights(f"{block}.pwconv1")))
            if f"{block}.grn.gamma" in state:
                y = grn(y, state[f"{block}.grn.gamma"], state[f"{block}.grn.beta"])
            y = linear(y, *weights(f"{block}.pwconv2"))
            if f"{block}.gamma" in state:
                y = per_channel(state[f"{block}.gamma"]) * y
            x = x + y
        outputs.append((layer_norm(x, *weights(f"norm{i}")), x))
    return outputs


def assert_equal_to_1e_5(got, want):
    assert got.shape == want.shape
    assert (got.double() - want).abs().max() <= 1e-5 * want.abs().max()


@pytest.mark.slow
@pytest.mark.parametrize("size", [(64, 96), (67, 93)], ids=str)
@pytest.mark.parametrize(
    "arch",
    [
        "tiny",
        "v2_atto",
        dict(depths=(1, 2), channels=(8, 24)),
        dict(depths=(1, 1, 2, 1, 1), channels=(8, 8, 16, 24, 32), grn=True),
    ],
    ids=str,
)
def test_equals_the_published_module(arch, size):
    depths, channels, has_grn = (r := resolve_arch(arch)).depths, r.channels, r.grn
    state = published_state_dict(depths, channels, has_grn)
    image = torch.randn(2, 3, *size)
    stride = 2 ** (len(depths) + 1)  # of the last stage, where nothing is dilated
    want = reference(state, image, depths)

    every_stage = tuple(range(len(depths)))
    args = dict(arch=arch, out_indices=every_stage, output_stride=max(stride, 32))
    normed = ConvNeXt(**args).eval()
    load_weights(normed, state)
    raw = ConvNeXt(**args, norm_out=False).eval()
    load_weights(raw, state)
    with torch.no_grad():
        outputs = zip(normed(image), raw(image), want, strict=True)
    for got_normed, got_raw, (want_normed, want_raw) in outputs:
        assert_equal_to_1e_5(got_normed, want_normed)
        assert_equal_to_1e_5(got_raw, want_raw)


@pytest.mark.parametrize("in_channels, kernel_size", [(1, 5), (4, 3)])
def test_equals_the_equations_for_other_inputs_and_kernels(in_channels, kernel_size):
    depths, channels = (2, 1), (8, 16)
    state = published_state_dict(depths, channels, False, in_channels, kernel_size)
    image = torch.randn(1, in_channels, 37, 50)
    net = ConvNeXt(
        dict(depths=depths, channels=channels),
        in_channels=in_channels,
        kernel_size=kernel_size,
        out_indices=(0, 1),
    )
    load_weights(net, state)
    for got, (want, _) in zip(net(image), reference(state, image, depths), strict=True):
        assert_equal_to_1e_5(got, want)


@pytest.mark.parametrize("grn", [False, True], ids=["v1", "v2"])
def test_gradients_equal_the_published_module(grn):
    depths, channels = (1, 2), (8, 16)
    state = published_state_dict(depths, channels, grn)
    image = torch.randn(2, 3, 40, 48)
    net = ConvNeXt(dict(depths=depths, channels=channels, grn=grn), out_indices=(1,)).double()
    load_weights(net, state)
    direction = torch.randn(2, 16, 5, 6, dtype=torch.double)

    (net(image.double())[0] * direction).sum().backward()
    leaves = {name: value.double().requires_grad_() for name, value in state.items()}
    (reference(leaves, image, depths)[1][0] * direction).sum().backward()
    for name, param in net.named_parameters():
        want = leaves[name].grad.reshape(param.shape)
        torch.testing.assert_close(param.grad, want, rtol=1e-9, atol=1e-9, msg=name)
