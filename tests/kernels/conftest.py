"""What several tests of the kernels share."""

import pytest
import torch


@pytest.fixture
def count_fast_products():
    """Call something, and count the fused products of oneDNN that it ran."""

    def count(call, *args) -> int:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            call(*args)
        return sum(event.name == "mkldnn::_linear_pointwise" for event in profile.events())

    return count
