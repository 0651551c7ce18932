"""Time our operators over torch beside those of a compiled mmcv, where one is installed.

    python benchmarks/operators.py [--repeats N]

Runs of the two alternate, so that what else the machine does falls on both. The sizes are those of
a detector in training: 512 RoIs on one level of two images, where mmdet puts those of up to 28
pixels of the map, the targets of 128 masks, NMS of 2000 proposals.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from convnext_dense.benchmark.timing import alternate
from convnext_dense.upstream import mmcv_ext
from convnext_dense.upstream.ops import OPERATORS

Operators = Mapping[str, Callable]
Case = Callable[[Operators], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=10, help="runs of each (default: 10)")
    repeats = parser.parse_args().repeats
    compiled = compiled_operators()
    if compiled is None:
        print("No compiled mmcv is installed in this environment: ours alone.")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, median of {repeats} runs")
    theirs_header = "" if compiled is None else f"{'compiled, s':>13}{'ratio':>7}"
    print(f"{'operator':50}{'ours, s':>10}{theirs_header}")
    contenders = dict(ours=OPERATORS) if compiled is None else dict(ours=OPERATORS, theirs=compiled)
    for name, case in cases().items():
        runs = {title: partial(case, operators) for title, operators in contenders.items()}
        samples = alternate(runs, torch.device("cpu"), repeats, min_time=0)
        ours, *theirs = map(statistics.median, samples.values())
        line = f"{name:50}{ours:10.4f}"
        print(line + "".join(f"{other:13.4f}{ours / other:7.2f}" for other in theirs))


def compiled_operators() -> Operators | None:
    try:
        import mmcv._ext
    except ImportError:
        return None
    return vars(mmcv._ext) if mmcv_ext.is_compiled() else None


def cases() -> dict[str, Case]:
    torch.manual_seed(0)
    table: dict[str, Case] = {}
    for rois, bins, map_shape, largest in (
        (512, 7, (2, 256, 100, 152), 28),
        (128, 14, (2, 256, 100, 152), 28),
        (64, 7, (2, 64, 64, 64), 28),
        (128, 28, (16, 1, 800, 1216), 500),
    ):
        forward, backward = roi_align_cases(rois, bins, map_shape, largest)
        size = f"{rois} RoIs, {bins}x{bins}, {'x'.join(map(str, map_shape))}"
        table[f"RoIAlign forward, {size}"] = forward
        table[f"RoIAlign backward, {size}"] = backward
    for count in (2000, 500):
        boxes, scores = random_boxes(count, width=1333, height=800, largest=300), torch.rand(count)
        table[f"NMS, {count} boxes"] = lambda operators, boxes=boxes, scores=scores: operators[
            "nms"
        ](boxes, scores, iou_threshold=0.7, offset=0)
    return table


def roi_align_cases(
    count: int, bins: int, map_shape: tuple[int, ...], largest: int
) -> tuple[Case, Case]:
    """Build both passes of RoIAlign with adaptive sampling; ``largest`` is in pixels of the map."""
    maps, channels, height, width = map_shape
    boxes = random_boxes(count, width=width, height=height, largest=largest)
    rois = torch.cat([torch.randint(0, maps, (count, 1)).float(), boxes], dim=1)
    features, argmax = torch.randn(map_shape), torch.empty(0)
    pooled, gradient = torch.randn(count, channels, bins, bins), torch.zeros(map_shape)
    sampling = {
        "aligned_height": bins,
        "aligned_width": bins,
        "spatial_scale": 1.0,
        "sampling_ratio": 0,
        "pool_mode": 1,
        "aligned": True,
    }

    def forward(operators: Operators) -> None:
        output = torch.zeros(pooled.shape)
        operators["roi_align_forward"](features, rois, output, argmax, argmax, **sampling)

    def backward(operators: Operators) -> None:
        gradient.zero_()
        operators["roi_align_backward"](pooled, rois, argmax, argmax, gradient, **sampling)

    return forward, backward


def random_boxes(count: int, width: int, height: int, largest: int) -> Tensor:
    sides = (torch.rand(count, 2) * 6 + 1) / 7 * largest
    corners = torch.rand(count, 2) * (torch.tensor([width, height]) - sides).clamp(min=0)
    return torch.cat([corners, corners + sides], dim=1)


if __name__ == "__main__":
    main()
