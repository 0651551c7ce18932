"""The ceiling is the fastest of what was tried."""

from __future__ import annotations

import pytest
import torch

from convnext_dense.benchmark import ceiling
from convnext_dense.benchmark.ceiling import Effort, matrix_products, measure_ceiling, mlp_shapes

CPU = torch.device("cpu")


def test_shapes_are_those_of_the_networks_linear_layers():
    assert mlp_shapes((64, 96), 2, (40, 80), stem_stride=4) == [
        (2 * 16 * 24, 40, 160),
        (2 * 8 * 12, 80, 320),
    ]


def test_takes_the_fastest_operator_at_the_best_shape(monkeypatch):
    monkeypatch.setitem(ceiling.EFFORTS, "cpu", Effort(side=16, copied_bytes=1000))
    timed = []

    def stopwatch(call, device):
        shape = tuple(call().shape)
        timed.append(shape)
        if shape == (1000,):
            return 0.5  # the copy
        # The first operator is the slower one; the square takes far longer.
        return {(8, 4): 1.0, (16, 16): 1000.0}[shape] * (1 + (timed.count(shape) == 1))

    monkeypatch.setattr(ceiling, "fastest_call", stopwatch)
    names = [name for name, _ in matrix_products(8, 4, 4, CPU, torch.float32)]
    best = measure_ceiling(CPU, torch.float32, [(8, 4, 4)])
    assert timed.count((8, 4)) == timed.count((16, 16)) == len(names)
    assert (best.matrix_rate, best.shape) == (2 * 8 * 4 * 4, (8, 4, 4))
    assert best.operator in names[1:]
    assert best.copy_rate == 2 * 1000 / 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_all_operators_compute_the_same_product(dtype):
    results = {name: product() for name, product in matrix_products(6, 8, 4, CPU, dtype)}
    assert {"torch.mm", "F.linear"} <= set(results)
    product = results.pop("torch.mm").float()
    for name, value in results.items():  # with the bias, the same for every row
        bias = (value.float() - product)[0]
        torch.testing.assert_close(value.float(), product + bias, atol=0.1, rtol=0.02, msg=name)


def test_other_operators_serve_where_the_private_ones_are_missing(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)

    class Without:
        def __getattr__(self, name):
            raise AttributeError(name)

    monkeypatch.setattr(torch.ops, "mkldnn", Without())
    names = [name for name, _ in matrix_products(2, 2, 2, CPU, torch.float32)]
    assert names == ["torch.mm", "F.linear"]
