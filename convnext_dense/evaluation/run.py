"""Test a trained model: plan the run, join its processes, predict, evaluate, write the figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path

from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.runner import Runner

from convnext_dense.config.options import RunOptions
from convnext_dense.config.plan import TEST, Plan, plan_run, take_steps
from convnext_dense.config.steps.outputs import COCO, DETECTIONS, IOU, SAMPLES, evaluators_of_test
from convnext_dense.evaluation.figures import Figures, write_figures
from convnext_dense.evaluation.outputs import check_names, kept_predictions
from convnext_dense.evaluation.published import Comparison, compare
from convnext_dense.files import ensure_folder
from convnext_dense.ranks import rank
from convnext_dense.text import one_line
from convnext_dense.training.processes import end_with_launcher, join_processes, leave_processes
from convnext_dense.training.runner import build_runner

# Options that make a test another one than the published.
_CHANGING = ("classes", "img_size", "box_only", "backbone")
# The files of this room that register what a test's config names.
_REGISTERED_BY = {
    COCO: "coco_metric",
    IOU: "iou_metric",
    DETECTIONS: "sample_dump",
    SAMPLES: "sample_dump",
}


@dataclass(frozen=True)
class Tested:
    """What came of a test.

    Attributes:
        metrics: Every metric by name, as mmengine logs it.
        figures: The official figures, or the metrics where the test has others than COCO's or IoU.
        is_official: Whether the figures are the official ones.
        images: How many images were tested.
        comparison: The published row beside the figures, for a published recipe.
        kept: Where predictions were kept.
        about: What ``metrics.json`` says beside the figures.
        written: The files of the figures.
    """

    metrics: dict[str, float]
    figures: Figures
    is_official: bool
    images: int
    comparison: Comparison | None
    kept: list[Path]
    about: dict[str, object]
    written: list[Path] = field(default_factory=list)


def test(
    options: RunOptions,
    tell: Callable[[str], None] | None = None,
    show: Callable[[Tested], None] | None = None,
) -> Tested:
    """Evaluate a checkpoint on the test data of a config, and write the figures.

    Args:
        options: What is asked for: config, ``checkpoint``, and what else a test takes.
        tell: Called with what the user should know, such as what is not done as the config says.
        show: Called on rank 0 with what came of the test, before it is written.

    Returns:
        What came of it. The metrics are logged too.

    Raises:
        FileNotFoundError: Where there is no such checkpoint.
        ValueError: Where ``published`` is asked of a config that is no published recipe, the config
            has no test data, or the model cannot write to ``out`` or ``show_dir``.
        RuntimeError: Where the checkpoint is not of this model, or the evaluation fails with the
            predictions kept; the message says where.
        OSError: Where the figures or predictions cannot be written.
    """
    if options.launcher == "pytorch":
        end_with_launcher()
    plan = plan_run(options, TEST, tell)
    runner = start(plan, tell)
    try:
        metrics = runner.test()
    except Exception as error:
        kept = kept_predictions(runner.test_evaluator.metrics)
        if not kept:
            raise
        places = " and ".join(map(str, kept))
        message = f"{one_line(error)}; what was predicted until then is kept in {places}"
        raise RuntimeError(message) from error
    tested = _tested(options, runner, metrics)
    if rank() > 0:
        return tested
    if show:
        show(tested)
    written = write_figures(plan.config.work_dir, tested.figures, **tested.about)
    return replace(tested, written=written)


def start(plan: Plan, tell: Callable[[str], None] | None = None) -> Runner:
    """Join the processes of a planned test, and build its runner.

    Raises:
        Exception: As :func:`test` does, in all processes.
    """
    join_processes(plan.config)
    ensure_folder(plan.config.work_dir)
    try:
        plan = take_steps(plan, TEST.joined, tell)
    except Exception:
        leave_processes()  # all of them fail
        raise
    _register_metrics(plan.config)
    runner = build_runner(plan)
    check_names(plan.config, runner.test_dataloader.dataset, plan.options.show_dir)
    return runner


def _register_metrics(cfg: Config) -> None:
    for evaluator in evaluators_of_test(cfg):
        if evaluator.type in _REGISTERED_BY:
            import_module(f"convnext_dense.evaluation.{_REGISTERED_BY[evaluator.type]}")


def _tested(options: RunOptions, runner: Runner, metrics: dict[str, float]) -> Tested:
    benchmarks: Sequence[BaseMetric] = runner.test_evaluator.metrics
    figures = next((m.figures for m in benchmarks if getattr(m, "figures", None)), None)
    images = len(runner.test_dataloader.dataset)
    config = runner.cfg.filename if isinstance(options.config, Config) else options.config
    about: dict[str, object] = dict(
        config=str(config), checkpoint=runner.cfg.load_from, tta=options.tta, images=images
    )
    comparison = None
    if figures is not None:
        changes = _changes(options)
        comparison = compare(str(config), figures, tta=options.tta, images=images, changes=changes)
        if comparison:
            about["published"] = comparison.as_dict()
    kept = kept_predictions(benchmarks)
    if kept:
        about["predictions"] = list(map(str, kept))
    shown = figures or Figures(metrics)
    return Tested(metrics, shown, figures is not None, images, comparison, kept, about)


def _changes(options: RunOptions) -> list[str]:
    changes = [f"`{name}`" for name in _CHANGING if getattr(options, name)]
    if any(key.startswith("model.") for key in options.cfg_options):
        changes.append("`cfg_options` model")
    return changes
