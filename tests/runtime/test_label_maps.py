"""The best class of every pixel."""

import numpy as np
import pytest

from convnext_dense_runtime import Metadata
from convnext_dense_runtime.label_maps import label_map


@pytest.mark.parametrize("classes", [2, 3, 256])
@pytest.mark.parametrize("kind", ["noise", "ties"])
def test_the_first_of_the_highest_wins(classes, kind):
    logits = np.random.default_rng(0).normal(size=(classes, 37, 53)).astype(np.float32)
    if kind == "ties":
        logits = logits.round()
    facts = Metadata("segmentation", tuple(map(str, range(classes))))
    labels = label_map(logits, (37, 53), facts)
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, logits.argmax(0))
