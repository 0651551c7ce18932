"""The ceiling is the fastest of what was tried."""

from __future__ import annotations

import pytest
import torch

from convnext_dense.benchmark import ceiling
from convnext_dense.benchmark.ceiling import measure_ceiling, mlp_shapes

CPU = torch.device("cpu")


def test_shapes_are_those_of_the_networks_linear_layers():
    assert mlp_shapes((64, 96), 2, (40, 80)) == [(2 * 16 * 24, 40, 160), (2 * 8 * 12, 80, 320)]


def test_takes_the_fastest_operator_at_the_best_shape(monkeypatch):
    monkeypatch.setattr(ceiling, "SQUARE", {"cpu": 16})
    monkeypatch.setattr(ceiling, "COPIED_BYTES", {"cpu": 1000})

    def products(m, k, n, device, dtype):
        yield "slow", (m, 2.0)
        yield "fast", (m, 1.0)

    # In seconds for 2 * m * k * n operations; the copy is no pair.
    def fastest(product, device):
        if callable(product):
            return 0.5
        size, time = product
        return time * {8: 1.0, 16: 100.0}[size]

    monkeypatch.setattr(ceiling, "_products", products)
    monkeypatch.setattr(ceiling, "_fastest", fastest)
    best = measure_ceiling(CPU, torch.float32, [(8, 4, 4)])
    assert (best.matrix_rate, best.operator, best.shape) == (2 * 8 * 4 * 4, "fast", (8, 4, 4))
    assert best.copy_rate == 2 * 1000 / 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_all_operators_compute_the_same_product(dtype):
    results = {name: product() for name, product in ceiling._products(6, 8, 4, CPU, dtype)}
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
    names = [name for name, _ in ceiling._products(2, 2, 2, CPU, torch.float32)]
    assert names == ["torch.mm", "F.linear"]
