"""From which size on the CPU's fast path is taken."""

import pytest
import torch

from convnext_dense import ConvNeXt
from convnext_dense.kernels import onednn


@pytest.mark.slow
@pytest.mark.skipif(
    not (onednn.available(torch.float32) and onednn.available(torch.bfloat16)),
    reason="torch has no oneDNN operators here",
)
@pytest.mark.parametrize(
    ("arch", "size", "amp", "fast"),
    [
        ("atto", 128, False, False),
        ("atto", 160, False, True),
        ("atto", 64, True, True),
        ("tiny", 32, False, False),
        ("tiny", 32, True, True),
        ("tiny", 64, False, True),
    ],
)
def test_small_maps_run_in_plain_torch(count_fast_products, arch, size, amp, fast):
    net = ConvNeXt(arch)
    with torch.autocast("cpu", torch.bfloat16, enabled=amp):
        products = count_fast_products(net, torch.randn(1, 3, size, size))
    # In all stages alike; large maps go through in parts.
    blocks = sum(net.arch.depths)
    assert products >= 2 * blocks if fast else products == 0
