"""Test a trained model: plan the run, join its processes, predict, evaluate, write the figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from pathlib import Path

from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.runner import Runner

from convnext_dense.config.options import RunOptions
from convnext_dense.config.plan import TEST
from convnext_dense.config.steps.exported import tests_exported
from convnext_dense.config.steps.outputs import COCO, DETECTIONS, IOU, SAMPLES, evaluators_of_test
from convnext_dense.evaluation.beside import KEY as EXPORTED_FROM
from convnext_dense.evaluation.beside import CheckpointTest, figures_of_checkpoint
from convnext_dense.evaluation.figures import Figures, write_figures
from convnext_dense.evaluation.outputs import check_output_names, prediction_files
from convnext_dense.evaluation.published import Comparison, compare_with_published
from convnext_dense.files import ensure_folder
from convnext_dense.ranks import rank
from convnext_dense.text import one_line
from convnext_dense.training.observer import RunObserver
from convnext_dense.training.runner import begin_run, build_runner, join_run

# Options that make a test another one than the published one.
_CHANGING = ("classes", "img_size", "box_only", "backbone", "limit")
# The module that registers each metric of this package.
_REGISTERED_BY = {
    COCO: "coco_metric",
    IOU: "iou_metric",
    DETECTIONS: "sample_dump",
    SAMPLES: "sample_dump",
}


@dataclass(frozen=True)
class EvaluationResult:
    """The result of a test.

    Attributes:
        metrics: Every metric by name, as mmengine logs it.
        figures: The official figures, or ``metrics`` if the test has other metrics than COCO's or
            IoU.
        is_official: Whether the figures are the official ones.
        images: The number of images that were tested.
        comparison: The comparison with the published row, for a published recipe.
        kept: The files or folders of predictions.
        about: The other keys of ``metrics.json``.
        written: The files of the figures.
        beside: For an exported model, the figures of its checkpoint, where they are known.
    """

    metrics: dict[str, float]
    figures: Figures
    is_official: bool
    images: int
    comparison: Comparison | None
    kept: list[Path]
    about: dict[str, object]
    written: list[Path] = field(default_factory=list)
    beside: CheckpointTest | None = None


def test(
    options: RunOptions,
    tell: Callable[[str], None] | None = None,
    show: Callable[[EvaluationResult], None] | None = None,
    observer: RunObserver | None = None,
) -> EvaluationResult:
    """Evaluate a checkpoint on the test data of a config, and write the figures.

    Args:
        options: The options of the test, such as config and ``checkpoint``.
        tell: Called with messages for the user, such as where the test differs from its config.
        show: Called on rank 0 with the result, before the figures are written.
        observer: Receives on rank 0 what the run reports, in place of mmengine's log on the screen.

    Returns:
        The result. The metrics are logged too.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If ``checkpoint`` is the name of a model that the recipe does not have, the
            config has no test data, or the model cannot write to ``out`` or ``show_dir``.
        RuntimeError: If the checkpoint is not of this model, or the evaluation failed after the
            predictions were saved; the message says where they are.
        OSError: If the figures or predictions could not be written.
    """
    plan = begin_run(options, TEST, tell, observer)
    ensure_folder(plan.config.work_dir)
    plan = join_run(plan, TEST, tell)
    _register_metrics(plan.config)
    runner = build_runner(plan, observer)
    check_output_names(plan.config, runner.test_dataloader.dataset, options.show_dir)
    try:
        metrics = runner.test()
    except Exception as error:
        kept = prediction_files(runner.test_evaluator.metrics)
        if not kept:
            raise
        places = " and ".join(map(str, kept))
        message = f"{one_line(error)}; the predictions until then are in {places}"
        raise RuntimeError(message) from error
    tested = _tested(options, runner, metrics)
    if rank() > 0:
        return tested
    if show:
        show(tested)
    written = write_figures(plan.config.work_dir, tested.figures, **tested.about)
    return replace(tested, written=written)


def _register_metrics(cfg: Config) -> None:
    for evaluator in evaluators_of_test(cfg):
        if evaluator.type in _REGISTERED_BY:
            import_module(f"convnext_dense.evaluation.{_REGISTERED_BY[evaluator.type]}")


def _tested(options: RunOptions, runner: Runner, metrics: dict[str, float]) -> EvaluationResult:
    benchmarks: Sequence[BaseMetric] = runner.test_evaluator.metrics
    figures = next((m.figures for m in benchmarks if getattr(m, "figures", None)), None)
    images = len(runner.test_dataloader.dataset)
    config = runner.cfg.filename if isinstance(options.config, Config) else options.config
    exported = tests_exported(options)
    checkpoint = options.checkpoint if exported else runner.cfg.load_from
    about: dict[str, object] = dict(
        config=str(config), checkpoint=checkpoint, tta=options.tta, images=images
    )
    comparison = None
    if figures is not None:
        comparison = compare_with_published(
            str(config),
            figures,
            tta=options.tta,
            images=images,
            changes=_changes(options),
            checkpoint=checkpoint,
        )
        if comparison:
            about["published"] = asdict(comparison)
    beside = None
    if exported:
        beside = figures_of_checkpoint(str(checkpoint), runner.cfg.work_dir, images)
    if beside:
        about[EXPORTED_FROM] = asdict(beside)
    kept = prediction_files(benchmarks)
    if kept:
        about["predictions"] = list(map(str, kept))
    shown = figures or Figures(metrics)
    return EvaluationResult(
        metrics, shown, figures is not None, images, comparison, kept, about, beside=beside
    )


def _changes(options: RunOptions) -> list[str]:
    changes = [f"`{name}`" for name in _CHANGING if getattr(options, name)]
    if any(key.startswith("model.") for key in options.cfg_options):
        changes.append("`cfg_options` model")
    return changes
