"""Measure the time and memory of evaluating results of COCO val2017's size, both backends.

    python benchmarks/coco_evaluation.py [--images 5000]

The data are generated: 80 classes, 7.2 objects and 100 detections per image of 640 x 480, polygons
of 24 corners. Each evaluation runs in a process of its own, reading and checking the files
included. The peak is that of the whole process.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from processes import in_own_process

from convnext_dense.evaluation.coco import BACKENDS, evaluate_coco
from convnext_dense.evaluation.coco_input import TYPES, read_results, read_truth

WIDTH, HEIGHT, CLASSES, CORNERS = 640, 480, 80, 24
OBJECTS, DETECTIONS = 7.2, 100
TOLERANCE = 1e-6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=5000, help="default: 5000, as val2017")
    images = parser.parse_args().images
    backends = [name for name in BACKENDS if find_spec(name.replace("-", "_"))]
    print(", ".join(f"{name} {version(name)}" for name in backends))
    with tempfile.TemporaryDirectory() as folder:
        truth, results = Path(folder) / "truth.json", Path(folder) / "results.json"
        counts = in_own_process(generate, images, truth, results)
        sizes = ", ".join(f"{p.name} {p.stat().st_size / 1e6:.0f} MB" for p in (truth, results))
        print(f"{images} images, {counts[0]} objects, {counts[1]} detections; {sizes}")
        print(
            f"{'type':<6}{'backend':<18}{'read, s':>9}{'evaluate, s':>13}{'peak, GB':>10}{'AP':>8}"
        )
        for kind in TYPES:
            figures = []
            for backend in backends:
                *row, summary = in_own_process(evaluate, truth, results, kind, backend)
                figures.append(np.array(list(summary.values())))
                print(
                    f"{kind:<6}{backend:<18}{row[0]:>9.1f}{row[1]:>13.1f}{row[2]:>10.2f}"
                    f"{summary[f'{kind}_AP']:>8.4f}"
                )
            apart = max(abs(other - figures[0]).max() for other in figures)
            print(f"{kind:<6}the twelve figures differ by at most {apart:.1e}")
            assert apart <= TOLERANCE


def generate(images: int, truth: Path, results: Path) -> tuple[int, int]:
    rng = np.random.default_rng(0)
    annotations, found = [], []
    for image in range(1, images + 1):
        own = []
        for _ in range(rng.poisson(OBJECTS)):
            corners, category = outline(rng), int(rng.integers(CLASSES))
            own.append((corners, category))
            about = shape(corners, image, category)
            annotations.append(about | dict(id=len(annotations) + 1, iscrowd=0))
        for _ in range(DETECTIONS):
            corners, category = outline(rng), int(rng.integers(CLASSES))
            if own and rng.random() < 0.3:
                corners, category = own[rng.integers(len(own))]
                corners = corners + rng.normal(0, 6, 2) + rng.normal(0, 1.5, corners.shape)
            entry = shape(corners, image, category) | dict(score=float(np.float32(rng.random())))
            del entry["area"]
            found.append(entry)
    content = dict(
        images=[
            dict(id=i, file_name=f"{i}.jpg", width=WIDTH, height=HEIGHT)
            for i in range(1, images + 1)
        ],
        categories=[dict(id=i, name=f"class {i}") for i in range(CLASSES)],
        annotations=annotations,
    )
    truth.write_text(json.dumps(content))
    results.write_text(json.dumps(found))
    return len(annotations), len(found)


def outline(rng: np.random.Generator) -> np.ndarray:
    """Return an irregular ellipse of COCO's sizes: (corners, 2) as x, y in pixels."""
    radii = np.exp(rng.normal(3.5, 0.8, 2)).clip(4, 220)
    angles = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    ring = np.stack([np.cos(angles), np.sin(angles)], 1) * radii
    ring *= rng.uniform(0.8, 1.2, (CORNERS, 1))
    return rng.uniform((0, 0), (WIDTH, HEIGHT)) + ring


def shape(corners: np.ndarray, image: int, category: int) -> dict:
    from pycocotools import mask

    corners = corners.clip(0, (WIDTH, HEIGHT)).round(2)
    (rle,) = mask.frPyObjects([corners.ravel().tolist()], HEIGHT, WIDTH)
    area = float(mask.area(rle))
    x, y = corners.min(0)
    width, height = corners.max(0) - (x, y)
    return dict(
        image_id=image,
        category_id=category,
        bbox=[float(v) for v in (x, y, width, height)],
        area=area,
        segmentation=dict(size=list(rle["size"]), counts=rle["counts"].decode()),
    )


def evaluate(truth: Path, results: Path, kind: str, backend: str) -> tuple:
    start = time.perf_counter()
    content = read_truth(truth)
    found = read_results(results, content, truth)
    read = time.perf_counter() - start
    summary = evaluate_coco(found, content, (kind,), backend=backend).summary
    seconds = time.perf_counter() - start - read
    # Linux counts kilobytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return read, seconds, peak, summary


if __name__ == "__main__":
    main()
