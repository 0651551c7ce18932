"""Evaluate a checkpoint, or a model that export wrote.

%(prog)s configs/det/cascade_convnext_t_coco.py CHECKPOINT
%(prog)s work_dirs/shapes/config.py model.onnx
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from convnext_dense.cli.console.current import current_screen, show_facts
from convnext_dense.cli.console.elements import figure
from convnext_dense.cli.console.run import RunConsole
from convnext_dense.cli.flags import with_flags
from convnext_dense.cli.options import add_config_argument, add_shared_options, run_options
from convnext_dense.cli.output import print_text

if TYPE_CHECKING:
    from convnext_dense.evaluation.run import EvaluationResult


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``test``."""
    add_config_argument(parser)
    parser.add_argument(
        "checkpoint",
        help="path or URL of a model, or published, or openmmlab; or an exported .onnx or .xml",
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="save the predictions in the benchmark's format: for a detector a .json of COCO's "
        "results, for a segmenter a folder of PNGs; or the data samples in a .pkl",
    )
    parser.add_argument("--show-dir", metavar="D", help="draw truth and predictions into a folder")
    parser.add_argument(
        "--tta", action="store_true", help="test with the published scales and flips"
    )
    add_shared_options(parser)
    parser.set_defaults(command=test_command)


def test_command(args: argparse.Namespace) -> None:
    """Evaluate a checkpoint; see :func:`convnext_dense.evaluation.run.test`."""
    from convnext_dense.evaluation.run import test
    from convnext_dense.ranks import rank
    from convnext_dense.training.processes import leave_processes

    with RunConsole(current_screen()).shown() as console:
        tested = test(run_options(args), console.note, print_figures, console)
    if rank() == 0:
        left = {"figures": " and ".join(map(str, tested.written))}
        if tested.kept:
            left["predictions"] = ", ".join(map(str, tested.kept))
        if args.show_dir:
            left["pictures"] = args.show_dir
        show_facts(left)
    leave_processes()


def print_figures(tested: EvaluationResult) -> None:
    """Print the official figures, and compare them with the published row."""
    from convnext_dense.evaluation.tables import (
        beside_table,
        comparison_table,
        per_class_table,
        summary_table,
    )

    screen = current_screen()
    screen.end_live()
    figures, width = tested.figures, screen.width
    if tested.is_official:
        tables = per_class_table(figures, width), summary_table(figures, width)
        print_text("\n" + "\n".join(tables), lines=True)
    else:
        show_facts({name: figure(value) for name, value in tested.metrics.items()})
    if tested.beside:
        print_text(f"\n{beside_table(figures, tested.beside, width)}", lines=True)
    if tested.comparison:
        print_text(with_flags(comparison_table(tested.comparison, width)), lines=True)
