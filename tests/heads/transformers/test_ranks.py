"""Two ranks train as one process with the joint batch does, also if one has no boxes at all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .small import KINDS

MASKS = 6  # cases of two_ranks_masks.py
PROGRAM = Path(__file__).with_name("two_ranks.py")


@pytest.mark.slow
def test_gradients_are_those_of_the_joint_batch(two_ranks):
    said = two_ranks(sys.executable, str(PROGRAM))
    assert all(text.count("equal") == 3 * len(KINDS) + MASKS for text in said), "\n".join(said)
