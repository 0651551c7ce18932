"""What tests of several operators share."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F


@pytest.fixture
def check_autocast():
    """Compare a packed deformable layer of 4 channels under autocast with itself in float32."""

    def check(layer: torch.nn.Module) -> None:
        torch.nn.init.normal_(layer.conv_offset.weight, std=0.2)
        input = torch.randn(2, 4, 8, 9)
        full = layer(input)
        full.square().mean().backward()
        expected = {name: p.grad.clone() for name, p in layer.named_parameters()}
        layer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            output = layer(input)
        assert output.dtype == torch.bfloat16
        output.float().square().mean().backward()
        torch.testing.assert_close(output.float(), full, rtol=0.05, atol=0.05)
        for name, parameter in layer.named_parameters():
            assert parameter.grad.dtype == torch.float32
            pair = parameter.grad.flatten(), expected[name].flatten()
            assert F.cosine_similarity(*pair, dim=0) > 0.99, name

    return check
