"""The measurement of a backbone: what is compared with what, and what the rows hold."""

from __future__ import annotations

import pytest
import torch

from convnext_dense.benchmark import backbone, ceiling
from convnext_dense.benchmark.backbone import (
    Measurement,
    Row,
    Setting,
    compare_with_ours,
    measure_backbone,
)
from convnext_dense.benchmark.ceiling import Ceiling
from convnext_dense.benchmark.networks import random_weights

SMALL = dict(shape=(32, 48), rounds=2, min_time=0.0)
NO_CEILING = Ceiling(1e9, "none", (1, 1, 1), 1e9)


@pytest.fixture(autouse=True)
def _small_ceiling(monkeypatch):
    monkeypatch.setitem(ceiling.EFFORTS, "cpu", ceiling.Effort(64, 2**16, patience=0.0))


def row(network, samples, normed=True, memory_format="contiguous", compiled=False):
    return Row(network, normed, memory_format, compiled, 0.0, 0, 0.0, samples)


def test_peers_are_compared_with_ours_of_the_same_outputs_in_its_faster_format():
    rows = [
        row("ours", [2.0, 2.0]),
        row("ours", [1.0, 1.0], memory_format="channels_last"),
        row("ours", [0.5, 0.5], normed=False),
        row("ours", [0.1, 0.1], compiled=True),
        row("meta", [3.0, 3.0]),
        row("timm", [2.0, 2.0], normed=False),
        row("timm", [1.0, 1.0], normed=False, compiled=True),
    ]
    compare_with_ours(rows)
    assert [r.ratio.median for r in rows] == [2.0, 1.0, 1.0, 0.1, 3.0, 4.0, 2.0]
    measured = Measurement("atto", 1, NO_CEILING, rows, {})
    assert measured.fastest_peer().title == "meta"
    assert measured.fastest_peer(compiled=True).title == "timm, compiled"
    assert Measurement("atto", 1, NO_CEILING, rows[:4], {}).fastest_peer() is None


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["infer", "train"])
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "amp"])
def test_measures_every_network(dtype, mode):
    setting = Setting(dtype=dtype, mode=mode, peers=("meta", "torchvision"), **SMALL)
    measured = measure_backbone("atto", setting)
    titles = ["ours", "ours, channels_last", "meta", "meta, channels_last"]
    assert [r.title for r in measured.rows] == titles
    assert list(measured.skipped) == ["torchvision"]
    for r in measured.rows:
        assert len(r.samples) == 2 and min(r.samples) > 0
        assert r.share == pytest.approx(
            measured.flops / r.time.median / measured.ceiling.matrix_rate
        )
        # Rounding in bfloat16 shows, and nothing else does.
        assert r.error <= 1e-5 if dtype == "fp32" else 1e-3 < r.error < 0.05
    if mode == "train":  # the gradients alone take as much as the weights
        weights = sum(value.nbytes for value in random_weights("atto").values())
        assert all(r.memory > weights / (2 if dtype == "bf16" else 1) for r in measured.rows)


@pytest.mark.slow
def test_parts_are_those_of_ours_and_of_the_fastest_peer():
    setting = Setting(peers=("meta",), formats=("contiguous",), parts=True, **SMALL)
    parts = measure_backbone("atto", setting).parts
    assert list(parts) == ["ours", "meta"]
    assert all("depthwise convolution" in {p.kind for p in found} for found in parts.values())


@pytest.mark.slow
def test_random_depth_has_no_error_in_training():
    setting = Setting(mode="train", drop_path=0.5, peers=("meta",), **SMALL)
    assert [r.error for r in measure_backbone("atto", setting).rows] == [None] * 4


@pytest.mark.slow
def test_a_compiler_that_fails_is_named(monkeypatch):
    def refuse(image):
        raise TypeError("cannot compile\nthat")

    monkeypatch.setattr(torch, "compile", lambda module, **kwargs: refuse)
    setting = Setting(peers=("meta",), formats=("contiguous",), compiled=True, **SMALL)
    measured = measure_backbone("atto", setting)
    assert [r.title for r in measured.rows] == ["ours", "meta"]
    reason = "fails: TypeError: cannot compile"
    assert measured.skipped == {"ours, compiled": reason, "meta, compiled": reason}


@pytest.mark.slow
def test_wrong_outputs_in_the_measured_type_stop_it(monkeypatch):
    monkeypatch.setitem(backbone.TOLERANCES, "bf16", 1e-6)
    setting = Setting(dtype="bf16", peers=(), formats=("contiguous",), **SMALL)
    with pytest.raises(RuntimeError, match="the outputs of ours in bf16 differ by"):
        measure_backbone("atto", setting)
