"""The search for the largest batch finds it, and tries few."""

from __future__ import annotations

import pytest
import torch

from convnext_dense.training.fit_batch import is_out_of_memory, largest


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (torch.OutOfMemoryError("x"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("shapes cannot be multiplied"), False),
    ],
    ids=str,
)
def test_errors_of_memory(error, is_memory):
    assert is_out_of_memory(error) == is_memory


@pytest.mark.parametrize("most", [1, 2, 3, 7, 64, 100])
def test_the_largest_number_is_found(most):
    for limit in range(most + 3):
        tried: list[int] = []

        def fits(size, limit=limit, tried=tried):
            tried.append(size)
            return size <= limit

        assert largest(fits, most) == min(limit, most)
        assert len(tried) == len(set(tried)) <= 2 * most.bit_length()
        assert max(tried) <= most
