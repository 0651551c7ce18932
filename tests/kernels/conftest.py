"""A block that keeps packed weights."""

import pytest

from convnext_dense.backbone.block import Block

from .packing import CHANNELS, infer


@pytest.fixture
def block(randomise):
    """A block that keeps its weights in another layout, since it ran before."""
    block = randomise(Block(CHANNELS)).eval()
    for _ in range(3):
        infer(block)
    return block
