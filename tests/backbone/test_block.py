"""The parts of a block by themselves."""

from __future__ import annotations

import pytest
import torch

from convnext_dense import ConvNeXt
from convnext_dense.backbone.block import GRN, Block, DropPath, LayerNorm2d


def test_drop_path_is_off_in_eval():
    x = torch.randn(4, 3, 2, 2)
    assert DropPath(0.9).eval()(x) is x


def test_drop_path_keeps_whole_samples_scaled_to_the_same_mean():
    rate = 0.3
    out = DropPath(rate)(torch.ones(20_000, 2, 3, 3)).flatten(1)
    per_sample = out[:, 0]
    assert torch.equal(out, per_sample[:, None].expand_as(out))
    assert set(per_sample.unique().tolist()) == {0.0, per_sample.max().item()}
    assert per_sample.max().item() == pytest.approx(1 / (1 - rate))
    # The mean's standard deviation is sqrt(rate / (1 - rate) / 20000) = 0.0046.
    assert per_sample.mean().item() == pytest.approx(1, abs=0.02)


def test_drop_path_skips_the_block():
    block = Block(4, drop_path_rate=0.999999)
    x = torch.randn(2, 4, 8, 8)
    assert torch.equal(block(x), x)
    assert not torch.equal(block.eval()(x), x)


def test_drop_path_rates_grow_linearly_over_the_whole_depth():
    def rates(net):
        return [block.drop_path.rate for stage in net.stages for block in stage]

    arch = dict(depths=(1, 2, 2), channels=(4, 4, 4))
    whole = rates(ConvNeXt(arch, out_indices=(2,), drop_path_rate=0.4))
    assert whole == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    # The part that is built keeps the rates that it has in the whole.
    assert rates(ConvNeXt(arch, out_indices=(1,), drop_path_rate=0.4)) == whole[:3]
    assert rates(ConvNeXt(arch, out_indices=(2,))) == [0.0] * 5


@pytest.mark.parametrize(
    "grn, asked, built",
    [
        (False, None, 1.0),
        (True, None, None),
        (False, 0, None),
        (True, 0, None),
        (False, 1e-6, 1e-6),
        (True, 0.5, 0.5),
    ],
)
def test_layer_scale(grn, asked, built):
    arch = dict(depths=(2,), channels=(4,), grn=grn)
    net = ConvNeXt(arch, out_indices=(0,), layer_scale_init_value=asked)
    for block in net.stages[0]:
        if built is None:
            assert block.gamma is None
        else:
            assert block.gamma.tolist() == pytest.approx([built] * 4)


def test_grn_starts_as_the_identity():
    x = torch.randn(2, 5, 5, 12)
    grn = GRN(12)
    assert grn.gamma.shape == grn.beta.shape == (12,)
    assert torch.equal(grn(x), x)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_grn_does_not_overflow_in_half_precision(dtype):
    # Response 100 * sqrt(200 * 200) = 20000 per channel, whose square float16 cannot hold.
    grn = GRN(8).to(dtype)
    torch.nn.init.ones_(grn.gamma)
    out = grn(torch.full((1, 200, 200, 8), 100.0, dtype=dtype))
    assert out.dtype == dtype
    torch.testing.assert_close(out.float(), torch.full_like(out, 200.0, dtype=torch.float))
    # 1000 * 200 itself is beyond float16's 65504.
    assert grn(torch.full((1, 200, 200, 8), 1000.0, dtype=dtype)).isfinite().all()


def test_grn_of_an_empty_response_has_finite_gradients():
    grn = GRN(4)
    torch.nn.init.ones_(grn.gamma)
    x = torch.zeros(1, 3, 3, 4, requires_grad=True)
    grn(x).sum().backward()
    assert x.grad.isfinite().all()


def test_layer_norm_2d_normalises_each_position():
    x = 5 + 3 * torch.randn(2, 64, 3, 4)
    out = LayerNorm2d(64)(x)
    torch.testing.assert_close(out.mean(1), torch.zeros(2, 3, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.var(1, correction=0), torch.ones(2, 3, 4), atol=1e-5, rtol=0)
