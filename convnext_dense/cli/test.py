"""What tools/test.py does with a config and its arguments."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.evaluator import BaseMetric

from convnext_dense.cli.device import fit_to_device
from convnext_dense.cli.errors import describe
from convnext_dense.cli.options import rank
from convnext_dense.cli.output import say
from convnext_dense.cli.runner import build_runner, check_before_run
from convnext_dense.config_tree import datasets
from convnext_dense.evaluation.figures import Figures, write_figures
from convnext_dense.evaluation.outputs import (
    check_names,
    draw_predictions,
    keep_predictions,
    kept_predictions,
    use_benchmark_metrics,
)
from convnext_dense.evaluation.published import compare
from convnext_dense.evaluation.tables import comparison_table, per_class_table, summary_table
from convnext_dense.evaluation.tta import use_tta
from convnext_dense.files import ensure_folder
from convnext_dense.training.processes import end_with_launcher
from convnext_dense.zoo import published_model

# Flags that make a test another one than the published.
_CHANGING = ("classes", "img_size", "box_only", "backbone")


def test(cfg: Config, args: argparse.Namespace) -> dict[str, float]:
    """Evaluate ``args.checkpoint`` on the test data of a config.

    The official figures are printed and written to the work directory.

    Returns:
        The metrics by name, which are also logged.

    Raises:
        FileNotFoundError: Where there is no such checkpoint.
        ValueError: Where ``published`` is asked of a config that is no published recipe, the config
            has no test data, or the model cannot write to ``--out`` or ``--show-dir``.
        RuntimeError: Where the checkpoint is not of this model, or the evaluation fails with the
            predictions kept; the message says where.
        OSError: Where the figures or predictions cannot be written; the figures are printed before.
    """
    if args.checkpoint == "published":
        args.checkpoint = published_model(args.config)
    if not (datasets(cfg, "test") and cfg.get("test_evaluator")):
        raise ValueError(
            f"{args.config} has nothing to test: set its test_dataloader and test_evaluator"
        )
    if "://" not in args.checkpoint and not Path(args.checkpoint).is_file():
        raise FileNotFoundError(f"there is no checkpoint {args.checkpoint!r}")
    if args.launcher == "pytorch":
        end_with_launcher()
    fit_to_device(cfg, args.cfg_options)
    cfg.load_from = args.checkpoint
    cfg.resume = False
    if args.tta:
        use_tta(cfg)
    use_benchmark_metrics(cfg)
    if args.out:
        keep_predictions(cfg, args.out)
    if args.show_dir:
        draw_predictions(cfg, args.show_dir)
    ensure_folder(cfg.work_dir)
    check_before_run(cfg, splits=("test",))
    runner = build_runner(cfg)
    check_names(cfg, runner.test_dataloader.dataset, args.show_dir)
    try:
        metrics = runner.test()
    except Exception as error:
        kept = kept_predictions(runner.test_evaluator.metrics)
        if not kept:
            raise
        places = " and ".join(map(str, kept))
        message = f"{describe(error)}; what was predicted until then is kept in {places}"
        raise RuntimeError(message) from error
    if rank() == 0:
        images = len(runner.test_dataloader.dataset)
        report(runner.test_evaluator.metrics, metrics, images, cfg.work_dir, args)
    return metrics


def report(
    benchmarks: Sequence[BaseMetric],
    metrics: dict[str, float],
    images: int,
    work_dir: str,
    args: argparse.Namespace,
) -> None:
    """Print the figures of a test, then write them.

    Args:
        benchmarks: The metrics that collected the figures.
        metrics: What the runner gives, for metrics of another kind.
        images: How many images there were.
        work_dir: Where to write.
        args: ``config``, ``checkpoint``, ``tta``, ``out`` and the flags that change the test.
    """
    figures = next((m.figures for m in benchmarks if getattr(m, "figures", None)), None)
    about = dict(config=args.config, checkpoint=args.checkpoint, tta=args.tta, images=images)
    if figures is None:
        figures = Figures(metrics)
    else:
        say(f"\n{per_class_table(figures)}\n{summary_table(figures)}", lines=True)
        comparison = compare(
            args.config, figures, tta=args.tta, images=images, changes=_changes(args)
        )
        if comparison:
            say(comparison_table(comparison), lines=True)
            about["published"] = comparison.as_dict()
    kept = kept_predictions(benchmarks)
    if kept:
        about["predictions"] = list(map(str, kept))
    written = write_figures(work_dir, figures, **about)
    say(f"figures: {' and '.join(map(str, written))}")
    if kept:
        say(f"predictions: {', '.join(map(str, kept))}")


def _changes(args: argparse.Namespace) -> list[str]:
    flags = [f"--{name.replace('_', '-')}" for name in _CHANGING if getattr(args, name)]
    if any(key.startswith("model.") for key in args.cfg_options):
        flags.append("--cfg-options model")
    return flags
