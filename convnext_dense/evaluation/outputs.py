"""What a test leaves behind besides its figures: predictions and pictures."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config, ConfigDict

from convnext_dense.evaluation.coco_input import TYPES

COCO = "mmdet.BenchmarkCocoMetric"
IOU = "mmseg.BenchmarkIoUMetric"


def use_benchmark_metrics(cfg: Config) -> None:
    """Let the test collect the official figures where its metric is COCO's or mmseg's IoU.

    Others, such as of proposals or with other thresholds, stay as they are.

    Args:
        cfg: Changed in place: ``test_evaluator``.
    """
    cfg.test_evaluator = [_benchmark(evaluator) for evaluator in _evaluators(cfg)]


def keep_predictions(cfg: Config, out: str) -> None:
    """Make the test keep every prediction, after :func:`use_benchmark_metrics`.

    Args:
        cfg: Changed in place: ``test_evaluator``.
        out: A ``.pkl`` file (mmdet's and mmengine's dump of the data samples); for a segmenter also
            a folder that takes one PNG of labels per image; for a detector also a ``.json`` file in
            COCO's result format, which :meth:`BenchmarkCocoMetric.save` writes after the test.

    Raises:
        ValueError: Where the model cannot write to that.
        OSError: Where the folder cannot be made.
    """
    segmenter = cfg.default_scope == "mmseg"
    evaluators = _evaluators(cfg)
    kinds = {evaluator.type for evaluator in evaluators}
    if out.endswith((".pkl", ".pickle")):
        dump = "mmengine.DumpResults" if segmenter else "mmdet.DumpDetResults"
        cfg.test_evaluator = [*evaluators, dict(type=dump, out_file_path=out)]
    elif segmenter and not Path(out).suffix and IOU in kinds:
        Path(out).mkdir(parents=True, exist_ok=True)
        for evaluator in evaluators:
            if evaluator.type == IOU:
                evaluator.out = out
    elif not segmenter and out.endswith(".json") and COCO in kinds:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
    else:
        wanted = "a folder for PNGs" if segmenter else "a .json file in COCO's result format"
        raise ValueError(f"--out takes {wanted}, or a .pkl file, got {out!r}")


def _evaluators(cfg: Config) -> list[ConfigDict]:
    evaluators = cfg.test_evaluator
    return list(evaluators) if isinstance(evaluators, list | tuple) else [evaluators]


def _benchmark(evaluator: ConfigDict) -> ConfigDict:
    kind = str(evaluator.type).rpartition(".")[2]
    # Ours too: the config that an earlier test left names it.
    if kind in ("IoUMetric", "BenchmarkIoUMetric"):
        from convnext_dense.evaluation import iou_metric  # noqa: F401  registers itself

        return ConfigDict(evaluator, type=IOU)
    metrics = evaluator.get("metric", "bbox")
    metrics = {metrics} if isinstance(metrics, str) else set(metrics)
    official = evaluator.get("ann_file") and not evaluator.get("iou_thrs")
    if kind in ("CocoMetric", "BenchmarkCocoMetric") and official and metrics <= set(TYPES):
        from convnext_dense.evaluation import coco_metric  # noqa: F401  registers itself

        return ConfigDict(evaluator, type=COCO)
    return evaluator


def draw_predictions(cfg: Config, show_dir: str) -> None:
    """Draw truth and prediction of every test image into ``show_dir``.

    Args:
        cfg: Changed in place: ``default_hooks.visualization`` and ``visualizer``.
        show_dir: A folder, made where it is missing.
    """
    show_dir = str(Path(show_dir).resolve())
    hook = cfg.default_hooks.visualization
    hook.draw = True
    hook.interval = 1
    if cfg.default_scope == "mmseg":
        cfg.visualizer.save_dir = show_dir
    else:
        hook.test_out_dir = show_dir
