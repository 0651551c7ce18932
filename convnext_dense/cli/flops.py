"""Print the parameters and FLOPs of a config's model, part by part, without data or weights.

%(prog)s configs/det/cascade_convnext_t_coco.py
"""

from __future__ import annotations

import argparse

from convnext_dense.cli.actions import add_number
from convnext_dense.cli.options import add_config_argument, add_config_options, run_options
from convnext_dense.limits import MOST_PIXELS


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``flops``."""
    add_config_argument(parser)
    add_number(
        parser,
        "--shape",
        "the image in pixels; default: 800 1280, for a segmenter its crop and four times that",
        metavar=("H", "W"),
        nargs=2,
        most=MOST_PIXELS,
    )
    add_config_options(parser)
    parser.set_defaults(command=flops_command)


def flops_command(args: argparse.Namespace) -> None:
    """Print a table; see :func:`convnext_dense.analysis.flops.count_complexity`."""
    from rich.console import Console

    from convnext_dense.analysis.flops import as_table, count_complexity
    from convnext_dense.config.plan import MODEL, plan_run

    cfg = plan_run(run_options(args), MODEL).config
    Console().print(as_table(count_complexity(cfg, args.shape), args.config))
