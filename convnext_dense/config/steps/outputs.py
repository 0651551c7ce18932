"""Set the outputs of a test: the official figures, predictions and pictures."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config, ConfigDict

from convnext_dense.config.state import Plan
from convnext_dense.config_tree import datasets, type_name
from convnext_dense.data.check import build_without_annotations
from convnext_dense.data.label_maps import check_number_of_classes
from convnext_dense.files import ensure_folder, ensure_writable, path_inside

# Metrics of convnext_dense.evaluation.
COCO = "mmdet.BenchmarkCocoMetric"
IOU = "mmseg.BenchmarkIoUMetric"
DETECTIONS = "mmdet.KeepDetSamples"
SAMPLES = "mmengine.KeepSamples"
# Kinds of predictions for which COCO has official figures.
_TYPES = {"bbox", "segm"}


def set_outputs(plan: Plan) -> Plan:
    """Collect the official figures, and apply ``out`` and ``show_dir``.

    Raises:
        ValueError: If the model cannot write to ``out`` or ``show_dir``.
        WriteError: If no file can be written there.
    """
    cfg = plan.copy_config()
    use_benchmark_metrics(cfg)
    if plan.options.out:
        keep_predictions(cfg, plan.options.out)
    if plan.options.show_dir:
        draw_predictions(cfg, plan.options.show_dir)
    return plan.changed(cfg)


def use_benchmark_metrics(cfg: Config) -> None:
    """Collect the official figures if the metric of the test is COCO's or mmseg's IoU.

    Other metrics, such as those for proposals or with other thresholds, are not changed.

    Args:
        cfg: Changed in place: ``test_evaluator``.
    """
    cfg.test_evaluator = [_benchmark(evaluator) for evaluator in evaluators_of_test(cfg)]


def keep_predictions(cfg: Config, out: str) -> None:
    """Make the test keep every prediction before it is evaluated.

    Args:
        cfg: Changed in place, after :func:`use_benchmark_metrics`: ``test_evaluator``. The metric
            that keeps the predictions comes first.
        out: A ``.pkl`` file (mmdet's and mmengine's dump of the data samples); for a segmenter also
            a folder that takes one PNG of labels per image, laid out as the images are; for a
            detector also a ``.json`` file in COCO's result format.

    Raises:
        ValueError: If the model cannot write to ``out``, or a label map cannot hold its classes.
        WriteError: If ``out`` could not be written.
    """
    evaluators = evaluators_of_test(cfg)
    kinds = {evaluator.type for evaluator in evaluators}
    segmenter = is_segmenter(cfg)
    if out.endswith((".pkl", ".pickle")):
        ensure_writable(out)
        dump = SAMPLES if segmenter else DETECTIONS
        evaluators.insert(0, ConfigDict(type=dump, out_file_path=out))
    elif segmenter and not Path(out).suffix and IOU in kinds:
        ensure_folder(out)
        read = [
            build_without_annotations(cfg, key, dataset) for key, dataset in datasets(cfg, "test")
        ]
        for one in read:
            owner = f"a {type(one).__name__}"
            begins_at_one = getattr(one, "reduce_zero_label", False)
            check_number_of_classes(one.metainfo["classes"], begins_at_one, owner)
        for evaluator in evaluators:
            if evaluator.type == IOU:
                evaluator.out = out
                evaluator.images = [one.data_prefix["img_path"] for one in read]
    elif not segmenter and out.endswith(".json") and COCO in kinds:
        ensure_writable(out)
        coco = [evaluator for evaluator in evaluators if evaluator.type == COCO]
        # Results with masks contain boxes too.
        max(coco, key=lambda evaluator: "segm" in evaluator.get("metric", "bbox")).out = out
    else:
        wanted = "a folder for PNGs" if segmenter else "a .json file in COCO's result format"
        raise ValueError(f"`out` takes {wanted}, or a .pkl file, got {out!r}")
    cfg.test_evaluator = sorted(evaluators, key=lambda evaluator: not _keeps(evaluator))


def _keeps(evaluator: ConfigDict) -> bool:
    return "out" in evaluator or "out_file_path" in evaluator


def is_segmenter(cfg: Config) -> bool:
    """Whether a config is for mmseg."""
    if cfg.get("default_scope"):
        return cfg.default_scope == "mmseg"
    return any(evaluator.type == IOU for evaluator in evaluators_of_test(cfg))


def evaluators_of_test(cfg: Config) -> list[ConfigDict]:
    """Return the evaluators of the test as a list."""
    evaluators = cfg.test_evaluator
    return list(evaluators) if isinstance(evaluators, list | tuple) else [evaluators]


def _benchmark(evaluator: ConfigDict) -> ConfigDict:
    kind = type_name(evaluator)
    # A config that an earlier test saved names our metric already.
    if kind in ("IoUMetric", "BenchmarkIoUMetric"):
        return ConfigDict(evaluator, type=IOU)
    metrics = evaluator.get("metric", "bbox")
    metrics = {metrics} if isinstance(metrics, str) else set(metrics)
    official = evaluator.get("ann_file") and not evaluator.get("iou_thrs")
    if kind in ("CocoMetric", "BenchmarkCocoMetric") and official and metrics <= _TYPES:
        return ConfigDict(evaluator, type=COCO)
    return evaluator


def draw_predictions(cfg: Config, show_dir: str) -> None:
    """Draw truth and prediction of every test image into ``show_dir``.

    Args:
        cfg: Changed in place: ``default_hooks.visualization`` and ``visualizer``.
        show_dir: A folder, which is made if it is missing.

    Raises:
        ValueError: If the config has nothing that draws, or a link leads out of the folder.
        WriteError: If no file can be written there.
    """
    show_dir = str(Path(show_dir).resolve())
    ensure_folder(show_dir)
    hook = (cfg.get("default_hooks") or {}).get("visualization")
    if not (hook and cfg.get("visualizer")):
        raise ValueError(
            "`show_dir` needs default_hooks.visualization and visualizer in the config, as "
            "mmdet's and mmseg's default_runtime.py have them"
        )
    hook.draw = True
    hook.interval = 1
    if is_segmenter(cfg):
        path_inside(show_dir, "vis_data/config.py")  # which a visualizer writes before it draws
        cfg.visualizer.save_dir = show_dir
    else:
        hook.test_out_dir = show_dir
