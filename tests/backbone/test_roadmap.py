"""The steps from ResNet to ConvNeXt, against the paper's printed figures."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from convnext_dense.backbone import ResNetToConvNeXt
from convnext_dense.backbone.roadmap import REGIMES, STEPS
from convnext_dense.zoo.roadmap import ROADMAP

# The multiply-adds of the two rows whose printed figures belong to no network: see docs/roadmap.md.
COUNTED = {("tiny", "layer_norm"): 4.15, ("tiny", "separate_downsampling"): 4.46}
ROWS = [(regime, step) for regime in REGIMES for step in STEPS]


def test_the_tables_have_every_step_in_order():
    assert {regime: list(rows) for regime, rows in ROADMAP.items()} == {
        regime: list(STEPS) for regime in REGIMES
    }
    off = {(r, s) for r, rows in ROADMAP.items() for s, row in rows.items() if row.is_off}
    assert off == set(COUNTED)


@pytest.mark.slow
@pytest.mark.parametrize(("regime", "step"), ROWS, ids=str)
def test_multiply_adds_are_the_printed_ones(regime, step):
    with torch.device("meta"):
        net = ResNetToConvNeXt(step, regime, out_indices=(3,)).eval()
        image = torch.empty(1, 3, 224, 224)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(image)
    classifier = 1000 * net.out_channels[-1]
    counted = round((counter.get_total_flops() / 2 + classifier) / 1e9, 2)
    assert counted == COUNTED.get((regime, step), ROADMAP[regime][step].gflops)


def test_each_step_says_what_it_follows():
    names = list(STEPS)
    assert all(not step.before or step.before in names[:i] for i, step in enumerate(STEPS.values()))
    assert [s.name for s in STEPS.values() if s.before != names[names.index(s.name) - 1]] == [
        "resnet",
        "gelu",
    ]
    assert STEPS["gelu"].before == "kernel_7"
