"""The flags of tools/test.py, and what it prints."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from convnext_dense.cli.flags import with_flags
from convnext_dense.cli.options import add_shared_options, note, run_options
from convnext_dense.cli.output import say

if TYPE_CHECKING:
    from convnext_dense.evaluation.run import EvaluationResult


def add_test_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of tools/test.py."""
    parser.add_argument("config", help="a config file, or one of mmdet's or mmseg's: mmdet::...")
    parser.add_argument("checkpoint", help="path or URL of a model, or published")
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="keep the predictions in the benchmark's format: for a detector a .json of COCO's "
        "results, for a segmenter a folder of PNGs; or the data samples in a .pkl",
    )
    parser.add_argument("--show-dir", metavar="D", help="draw truth and predictions into a folder")
    parser.add_argument("--tta", action="store_true", help="the published multi-scale and flip")
    add_shared_options(parser)


def test_command(args: argparse.Namespace) -> None:
    """Evaluate a checkpoint; see :func:`convnext_dense.evaluation.run.test`."""
    from convnext_dense.evaluation.run import test
    from convnext_dense.ranks import rank
    from convnext_dense.training.processes import leave_processes

    tested = test(run_options(args), note, show)
    if rank() == 0:
        say(f"figures: {' and '.join(map(str, tested.written))}")
        if tested.kept:
            say(f"predictions: {', '.join(map(str, tested.kept))}")
    leave_processes()


def show(tested: EvaluationResult) -> None:
    """Print the official figures, and the published row beside them."""
    from convnext_dense.evaluation.tables import comparison_table, per_class_table, summary_table

    if tested.is_official:
        figures = tested.figures
        say(f"\n{per_class_table(figures)}\n{summary_table(figures)}", lines=True)
    if tested.comparison:
        say(with_flags(comparison_table(tested.comparison)), lines=True)
