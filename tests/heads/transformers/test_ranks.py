"""Two ranks train as one process with the joint batch does, also if one has no boxes at all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .small import KINDS

PROGRAM = Path(__file__).with_name("two_ranks.py")


@pytest.mark.slow
def test_gradients_are_those_of_the_joint_batch(two_ranks):
    said = two_ranks(sys.executable, str(PROGRAM))
    assert all(text.count("equal") == 3 * len(KINDS) for text in said), "\n".join(said)


@pytest.mark.slow
def test_gradients_of_masks_are_those_of_the_joint_batch(two_ranks):
    said = two_ranks(sys.executable, str(PROGRAM.with_name("two_ranks_masks.py")))
    assert all(text.count("equal") == 6 for text in said), "\n".join(said)
