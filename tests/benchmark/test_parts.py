"""Operators are sorted into kinds, and their time adds up."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from convnext_dense.benchmark.parts import kind_of, time_by_part


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("aten::native_layer_norm_backward", "norm"),
        ("aten::addmm", "matrix product"),
        ("mkldnn::_linear_pointwise", "matrix product"),
        ("sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n", "matrix product"),
        ("aten::gelu_backward", "GELU"),
        ("aten::copy_", "copy or cast"),
        ("aten::mul", "elementwise"),
        ("aten::mkldnn_convolution", "convolution"),
        ("conv_depthwise2d_forward_kernel", "depthwise convolution"),
        ("void wgrad2d_grouped_direct_kernel<float>", "depthwise convolution"),
        ("_DepthwiseConvBackward", "depthwise convolution"),
        ("void at::native::vectorized_elementwise_kernel<4, GeluCUDAKernelImpl>", "GELU"),
        ("void cudnn::ops::nchwToNhwcKernel<float>", "copy or cast"),
        ("aten::view", "other"),
        ("convnext_dense::depthwise_norm", "convnext_dense::depthwise_norm"),
        ("fused_block_forward", "fused_block_forward"),
    ],
)
def test_kind(name, kind):
    assert kind_of(name) == kind


def test_a_convolution_is_depthwise_by_its_weight():
    image, dense, depthwise = [1, 8, 4, 4], [8, 8, 3, 3], [8, 1, 3, 3]
    assert kind_of("aten::mkldnn_convolution", [image, dense]) == "convolution"
    assert kind_of("aten::mkldnn_convolution", [image, depthwise]) == "depthwise convolution"


def test_names_what_a_network_does():
    net = nn.Sequential(nn.Conv2d(8, 8, 7, padding=3, groups=8), nn.Conv2d(8, 8, 1), nn.GELU())
    image = torch.randn(1, 8, 64, 64)
    net(image)
    parts = {part.kind: part for part in time_by_part(lambda: net(image), image.device)}
    assert {"depthwise convolution", "convolution", "GELU"} <= set(parts)
    assert sum(part.share for part in parts.values()) == pytest.approx(1)
    shares = [part.share for part in parts.values()]
    assert shares == sorted(shares, reverse=True)
