"""Dilation in place of stride, with the same parameters."""

from __future__ import annotations

import pytest
import torch

from convnext_dense import ConvNeXt

SMALL = dict(depths=(1, 1, 2, 2), channels=(8, 12, 16, 20))


def pair(output_stride, randomise, **kwargs):
    plain = randomise(ConvNeXt(SMALL, **kwargs)).eval()
    dilated = ConvNeXt(SMALL, output_stride=output_stride, **kwargs).eval()
    dilated.load_state_dict(plain.state_dict())  # the same names and shapes, or it raises
    return plain, dilated


@pytest.mark.parametrize(
    "output_stride, strides", [(32, (4, 8, 16, 32)), (16, (4, 8, 16, 16)), (8, (4, 8, 8, 8))]
)
@pytest.mark.parametrize("size", [(64, 96), (75, 101)], ids=str)
def test_strides(output_stride, strides, size):
    net = ConvNeXt(SMALL, output_stride=output_stride)
    assert net.out_strides == strides
    shapes = [tuple(output.shape[2:]) for output in net(torch.randn(1, 3, *size))]
    assert shapes == [(size[0] // stride, size[1] // stride) for stride in strides]


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("size", [(64, 96), (256, 32)], ids=str)
def test_dilated_map_holds_the_strided_one(output_stride, size, randomise):
    # Nothing in V1 but the convolutions looks beyond its position, so the positions that the
    # strided network keeps must come out the same, borders included.
    plain, dilated = pair(output_stride, randomise)
    image = torch.randn(2, 3, *size)
    with torch.no_grad():
        outputs = list(zip(plain(image), dilated(image), strict=True))
    for i, (want, got) in enumerate(outputs):
        step = plain.out_strides[i] // dilated.out_strides[i]
        torch.testing.assert_close(got[:, :, ::step, ::step], want, rtol=1e-5, atol=1e-5)


def test_every_stage_beyond_the_cap_is_dilated():
    arch = dict(depths=(1,) * 5, channels=(8,) * 5)
    net = ConvNeXt(arch, out_indices=range(5), output_stride=16)
    assert net.out_strides == (4, 8, 16, 16, 16)
    assert [stage[0].dwconv.dilation[0] for stage in net.stages] == [1, 1, 1, 2, 4]
