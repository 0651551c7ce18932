"""The table of docs/deploy.md: which family is which by every way.

    WRITE_DOCS=1 python -m pytest tests/export/test_table.py -m long -k RetinaNet

writes the rows of the families that ran; the others stay as they were.
"""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from convnext_dense.export.agreement import found_again
from convnext_dense.export.formats import FORMATS, ONNX, OPENVINO
from convnext_dense.export.onnx_file import write_onnx
from convnext_dense.export.pictures import generate
from convnext_dense.export.verify import DifferentError, Picture, compare
from convnext_dense_runtime import Detections

from . import test_detectors, test_queries, test_segmenters

pytestmark = [pytest.mark.slow, pytest.mark.long]
PAGE = Path(__file__).parents[2] / "docs" / "deploy.md"
BEGIN, END = "<!-- families: begin -->", "<!-- families: end -->"
HEAD = """
| family | export, ONNX Runtime | OpenVINO | int8, ONNX Runtime | int8, OpenVINO | TensorRT |
|---|---|---|---|---|---|
"""
SIZES = ((96, 128), (160, 96), (64, 96))


def detector(family):
    return test_detectors.make(family)


def segmenter(family):
    return test_segmenters.make(family)[1]


def queries(family):
    return test_queries.make(family)[1]


FAMILIES = {
    "Faster R-CNN": (detector, "faster"),
    "Mask R-CNN": (detector, "mask"),
    "Cascade Mask R-CNN": (detector, "cascade"),
    "HTC": (detector, "htc"),
    "RetinaNet": (detector, "retinanet"),
    "FCOS": (detector, "fcos"),
    "ATSS": (detector, "atss"),
    "GFL": (detector, "gfl"),
    "RTMDet": (detector, "rtmdet"),
    "RTMDet-Ins": (queries, "RTMDet-Ins"),
    "Deformable DETR": (queries, "Deformable DETR"),
    "DINO": (queries, "DINO"),
    "Mask2Former, instances": (queries, "Mask2Former"),
    "Mask2Former, semantic": (segmenter, "Mask2Former"),
    "UperNet": (segmenter, "UperNet"),
    "FCN": (segmenter, "FCN"),
    "PSPNet": (segmenter, "PSPNet"),
    "DeepLabV3+": (segmenter, "DeepLabV3+"),
    "SegFormer": (segmenter, "SegFormer"),
    "OCRNet": (segmenter, "OCRNet"),
    "PointRend": (segmenter, "PointRend"),
}


class Pictures:
    """Calibration pictures."""

    def __len__(self):
        return 4

    def __iter__(self):
        return (generate((96, 128), 3, seed) for seed in range(4))


@pytest.mark.parametrize("family", FAMILIES)
def test_family(family, tmp_path):
    make, name = FAMILIES[family]
    graph, traced = make(name), tmp_path / "traced.onnx"
    write_onnx(graph, traced, torch.from_numpy(generate((64, 96), 3, seed=0)), fixed=False)
    cells = []
    for form in (FORMATS[ONNX], FORMATS[OPENVINO]):
        run = form.runner(form.convert(traced))
        pictures = [Picture(str(size), generate(size, 3, seed=1)) for size in SIZES]
        try:
            compare(graph, run, pictures, cut_off=0.05)
            cells.append("equal")
        except DifferentError:
            cells.append("differs")
    for form in (FORMATS[ONNX], FORMATS[OPENVINO]):
        int8 = form.runner(form.quantise(traced, Pictures()))
        cells.append(f"{share(graph, int8):.0%}".replace("%", " %"))
    if os.environ.get("WRITE_DOCS"):
        write_row(f"| {family} | {' | '.join(cells)} | not tried |")
    assert cells[0] == "equal"
    # What 8-bit integers keep depends on the processor a little.
    assert row(family).split(" | ")[1:3] == cells[:2]


def share(graph, int8):
    """The share of results in float32 that are found again in 8-bit integers."""
    found = []
    for size, seed in itertools.product(SIZES, range(2, 7)):
        image = generate(size, 3, seed)
        wanted = graph.reference(torch.from_numpy(image))
        got = graph.read([np.asarray(one) for one in int8(image)], size)
        is_detector = isinstance(wanted, Detections)
        same = found_again(wanted, got) if is_detector else wanted.labels == got.labels
        found.extend(same.ravel())
    assert len(found) > 40
    return np.mean(found)


def row(family):
    lines = PAGE.read_text().partition(BEGIN)[2].partition(END)[0].splitlines()
    return next((line for line in lines if line.startswith(f"| {family} |")), None)


def write_row(line):
    """Put a row into the page, in the order of FAMILIES."""
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    table, _, after = rest.partition(END)
    rows = {one.split(" | ")[0][2:]: one for one in table.splitlines() if one.startswith("| ")}
    rows[line.split(" | ")[0][2:]] = line
    unknown = "| {} |" + " not run |" * 4 + " not tried |"
    lines = [rows.get(family, unknown.format(family)) for family in FAMILIES]
    PAGE.write_text(before + BEGIN + "\n" + HEAD + "\n".join(lines) + f"\n\n{END}" + after)
