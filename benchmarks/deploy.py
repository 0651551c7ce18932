"""Time exported models beside PyTorch, in turns in one process, with random weights.

    OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive python benchmarks/deploy.py upernet --rounds 5

Each way ends with the same: a label map, or boxes with pasted masks. The weights are random, but so
large that the detector finds as much as a trained one: some 4,000 boxes score above its config's
threshold, of which every way keeps 100. A way that keeps another number ends the comparison. Time
is the wall's and the process's; where other work shares the cores, the second says more. Ratios are
medians over the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from mmengine.registry import MODELS, DefaultScope
from random_weights import settle_norms, spread_weights

from convnext_dense.config.options import RunOptions
from convnext_dense.config.plan import MODEL, plan_run
from convnext_dense.export.agreement import found_again
from convnext_dense.export.calibration import Calibration
from convnext_dense.export.formats import FORMATS, ONNX, OPENVINO
from convnext_dense.export.graph import INPUT, Graph, SegmentorGraph, make_graph
from convnext_dense.export.onnx_file import write_onnx
from convnext_dense.export.pictures import generate
from convnext_dense.patches import enable
from convnext_dense_runtime import Detections, Metadata
from convnext_dense_runtime.label_maps import label_map
from convnext_dense_runtime.objects import Sizes, find_objects
from convnext_dense_runtime.openvino_core import openvino_core

RECIPES = Path(__file__).parents[1] / "configs"
MODELS_TIMED = {
    "upernet": ("seg/upernet_convnext_t_ade20k.py", (512, 512)),
    "mask_rcnn": ("det/mask_rcnn_convnext_t_coco.py", (800, 1216)),
}
# What the files would say about the results.
SEGMENTER = Metadata("segmentation", tuple(map(str, range(150))))
DETECTOR = Metadata("detection", tuple(map(str, range(80))), masks="box", mask_threshold=0.5)
# Ranges of values do not change the time: those of small pictures will do.
SMALL = (256, 320)


class GeneratedPictures(Calibration):
    """Six generated pictures in place of a user's."""

    def __init__(self) -> None:
        self.values = [generate(SMALL, 3, seed) for seed in range(6)]

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self):  # noqa: ANN204
        return iter(self.values)


def build(name: str) -> tuple[Graph, tuple[int, int]]:
    """Return a model of a recipe with random weights, and the size to time it at."""
    config, size = MODELS_TIMED[name]
    cfg = plan_run(RunOptions(str(RECIPES / config)), MODEL).config
    cfg.model.backbone.init_cfg = None
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
    spread_weights(model)
    graph = make_graph(model.eval())
    settle_norms(graph, torch.from_numpy(generate(SMALL, 3, seed=0)))
    model.dataset_meta = dict(classes=("thing",), palette=None)
    return graph, size


def runs(graph: Graph, size: tuple[int, int], folder: Path) -> dict[str, Callable[[], object]]:
    """Return what is timed by its name, with the sizes of files printed on the way."""
    image = generate(size, 3, seed=10)
    tensor = torch.from_numpy(image)

    def by_torch() -> object:
        return graph.reference(tensor)

    def by_bfloat16() -> object:
        with torch.autocast("cpu", torch.bfloat16):
            return graph.reference(tensor)

    found = {"PyTorch float32": by_torch, "PyTorch bfloat16": by_bfloat16}
    traced = folder / "traced.onnx"
    write_onnx(graph, traced, torch.from_numpy(generate(SMALL, 3, seed=0)), fixed=False)
    titles = {ONNX: "ONNX Runtime", OPENVINO: "OpenVINO"}
    for name, form in FORMATS.items():
        files = {
            "float32": form.convert(traced),
            "int8": form.quantise(traced, GeneratedPictures()),
        }
        for kind, file in files.items():
            megabytes = sum(one.stat().st_size for one in form.files(file)) / 1e6
            print(f"{titles[name]} {kind}: {megabytes:.1f} MB", flush=True)
            found[f"{titles[name]} {kind}"] = exported(graph, file, image, size)
    found["OpenVINO bfloat16"] = in_openvino(graph, FORMATS[OPENVINO].convert(traced), image, size)
    return found


def exported(graph: Graph, file: Path, image: np.ndarray, size: tuple[int, int]) -> Callable:
    """Return a function that runs a file with one thread."""
    if file.suffix == ".xml":
        return in_openvino(graph, file, image, size, "f32")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda: read(graph, session.run(list(graph.outputs), {INPUT: image}), size)


def in_openvino(
    graph: Graph, file: Path, image: np.ndarray, size: tuple[int, int], precision: str = "bf16"
) -> Callable:
    """Return a function that runs a file of OpenVINO with one thread."""
    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": 1}
    compiled = openvino_core().compile_model(file, "CPU", settings)

    def run() -> object:
        results = compiled({INPUT: image})
        return read(graph, [results[name] for name in graph.outputs], size)

    return run


def read(graph: Graph, outputs: list[np.ndarray], size: tuple[int, int]) -> object:
    """Return what the runtime makes of outputs for a picture of (height, width)."""
    if graph.outputs == SegmentorGraph.outputs:
        return label_map(outputs[0][0], size, SEGMENTER)
    found = dict(zip(graph.outputs, outputs, strict=True))
    return find_objects(found, DETECTOR, Sizes(size, size, size), 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=MODELS_TIMED)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    enable()
    torch.set_num_threads(1)
    graph, size = build(args.model)
    with tempfile.TemporaryDirectory() as folder:
        timed = runs(graph, size, Path(folder))
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in timed}
        check_detections({name: run() for name, run in timed.items()})
        for _ in range(args.rounds):
            for name, run in timed.items():
                start = time.perf_counter(), time.process_time()
                run()
                end = time.perf_counter(), time.process_time()
                times[name].append((end[0] - start[0], end[1] - start[1]))
    print(
        "| | wall, s | times float32 | times bfloat16 | CPU, s | times float32 | times bfloat16 |"
    )
    print("|---|---|---|---|---|---|---|")
    for name in timed:
        row = []
        for kind in (0, 1):  # wall, CPU
            one = {way: [pair[kind] for pair in pairs] for way, pairs in times.items()}
            row += [
                f"{statistics.median(one[name]):.2f}",
                f"{ratio(one, 'PyTorch float32', name):.2f}",
                f"{ratio(one, 'PyTorch bfloat16', name):.2f}",
            ]
        print(f"| {name} | {' | '.join(row)} |", flush=True)


def check_detections(results: dict[str, object]) -> None:
    """Print how many detections each way keeps, and the share of PyTorch's that it finds again.

    Raises:
        SystemExit: If they keep different numbers.
    """
    found = {name: one for name, one in results.items() if isinstance(one, Detections)}
    for name, one in found.items():
        again = found_again(found["PyTorch float32"], one).mean()
        print(f"{name}: {len(one)} detections, {again:.0%} found again", flush=True)
    if len({len(one) for one in found.values()}) > 1:
        raise SystemExit("The ways keep different numbers of detections: no comparison")


def ratio(times: dict[str, list[float]], slow: str, fast: str) -> float:
    """Return how many times as fast one is as the other, the median of the rounds."""
    return statistics.median(a / b for a, b in zip(times[slow], times[fast], strict=True))


if __name__ == "__main__":
    main()
