"""What a test leaves behind besides its figures: predictions and pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmengine.evaluator import BaseMetric

from convnext_dense.config_tree import datasets, type_name
from convnext_dense.data.check import build_unread
from convnext_dense.data.label_maps import check_number_of_classes
from convnext_dense.evaluation.coco_input import TYPES
from convnext_dense.evaluation.label_maps import map_name
from convnext_dense.files import ensure_folder, ensure_writable, inside

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
    """Make the test keep every prediction before it is evaluated.

    Args:
        cfg: Changed in place, after :func:`use_benchmark_metrics`: ``test_evaluator``. The metric
            that keeps the predictions comes first.
        out: A ``.pkl`` file (mmdet's and mmengine's dump of the data samples); for a segmenter also
            a folder that takes one PNG of labels per image, laid out as the images are; for a
            detector also a ``.json`` file in COCO's result format.

    Raises:
        ValueError: Where the model cannot write to that, or a label map does not hold its classes.
        WriteError: Where it could not be written.
    """
    evaluators = _evaluators(cfg)
    kinds = {evaluator.type for evaluator in evaluators}
    segmenter = _is_segmenter(cfg)
    if out.endswith((".pkl", ".pickle")):
        from convnext_dense.evaluation import sample_dump  # noqa: F401  registers itself

        ensure_writable(out)
        dump = "mmengine.KeepSamples" if segmenter else "mmdet.KeepDetSamples"
        evaluators.insert(0, ConfigDict(type=dump, out_file_path=out))
    elif segmenter and not Path(out).suffix and IOU in kinds:
        ensure_folder(out)
        read = [build_unread(cfg, key, dataset) for key, dataset in datasets(cfg, "test")]
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
        # The results of masks have boxes too.
        max(coco, key=lambda evaluator: "segm" in evaluator.get("metric", "bbox")).out = out
    else:
        wanted = "a folder for PNGs" if segmenter else "a .json file in COCO's result format"
        raise ValueError(f"--out takes {wanted}, or a .pkl file, got {out!r}")
    cfg.test_evaluator = sorted(evaluators, key=lambda evaluator: not _keeps(evaluator))


def kept_predictions(metrics: Iterable[BaseMetric]) -> list[Path]:
    """Return the files or folders into which the metrics of a test have written predictions."""
    return [path for metric in metrics for path in getattr(metric, "kept", ())]


def _keeps(evaluator: ConfigDict) -> bool:
    return "out" in evaluator or "out_file_path" in evaluator


def _is_segmenter(cfg: Config) -> bool:
    if cfg.get("default_scope"):
        return cfg.default_scope == "mmseg"
    return any(evaluator.type == IOU for evaluator in _evaluators(cfg))


def _evaluators(cfg: Config) -> list[ConfigDict]:
    evaluators = cfg.test_evaluator
    return list(evaluators) if isinstance(evaluators, list | tuple) else [evaluators]


def _benchmark(evaluator: ConfigDict) -> ConfigDict:
    kind = type_name(evaluator)
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

    Raises:
        ValueError: Where the config has nothing that draws, or a link leads out of the folder.
        WriteError: Where no file can be written there.
    """
    show_dir = str(Path(show_dir).resolve())
    ensure_folder(show_dir)
    hook = (cfg.get("default_hooks") or {}).get("visualization")
    if not (hook and cfg.get("visualizer")):
        raise ValueError(
            "--show-dir needs default_hooks.visualization and visualizer in the config, as "
            "mmdet's and mmseg's default_runtime.py have them"
        )
    hook.draw = True
    hook.interval = 1
    if _is_segmenter(cfg):
        inside(show_dir, "vis_data/config.py")  # which a visualizer writes before it draws
        cfg.visualizer.save_dir = show_dir
    else:
        hook.test_out_dir = show_dir


def check_names(cfg: Config, dataset: object, show_dir: str | None) -> None:
    """Refuse a test whose label maps or drawings would overwrite each other or lie elsewhere.

    Args:
        cfg: After :func:`keep_predictions`.
        dataset: The test data, built.
        show_dir: Where :func:`draw_predictions` draws, if it does.

    Raises:
        ValueError: Naming two images of one name, or one whose name leads out of the folder.
    """
    for evaluator in _evaluators(cfg):
        if evaluator.type == IOU and evaluator.get("out"):
            name = partial(map_name, folders=evaluator.get("images", ()))
            way_on = "a .pkl file keeps all predictions"
            _check_names(dataset, evaluator.out, name, "--out", way_on)
    if show_dir:
        # The hooks of mmdet and mmseg call a drawing as its image, whatever folder that is in.
        way_on = "tools/infer.py draws pictures of several folders"
        layout = "vis_data/vis_image/test_{}_0.png" if _is_segmenter(cfg) else "{}"
        name = partial(_drawing_name, layout=layout)
        _check_names(dataset, show_dir, name, "--show-dir", way_on)


def _drawing_name(image: str, layout: str) -> str:
    return layout.format(Path(image).name)


def _check_names(
    dataset: object, folder: str, name: Callable[[str], str], flag: str, way_on: str
) -> None:
    images: dict[str, str] = {}
    for index in range(len(dataset)):
        image = dataset.get_data_info(index)["img_path"]
        try:
            inside(folder, name(image))
        except ValueError as error:
            raise ValueError(f"{flag}: the image {image}: {error}") from error
        other = images.setdefault(name(image), image)
        if other != image:
            raise ValueError(
                f"{flag}: {other} and {image} would both be written as {name(image)}; {way_on}"
            )
