"""Print the parameters and FLOPs of a config's model, part by part, without data or weights.

tools/flops.py configs/det/cascade_convnext_t_coco.py
"""

from __future__ import annotations

import argparse
import sys

import convnext_dense  # noqa: F401  first, since it makes mmdet importable
from convnext_dense.cli.actions import NumberAction
from convnext_dense.cli.errors import run_tool
from convnext_dense.cli.flags import use_flags_of
from convnext_dense.cli.options import add_config_argument, add_config_options, run_options
from convnext_dense.limits import MOST_PIXELS


def parse_args(argv: list[str]) -> argparse.Namespace:
    use_flags_of("flops")
    parser = argparse.ArgumentParser(description=__doc__)
    add_config_argument(parser)
    parser.add_argument(
        "--shape",
        type=int,
        nargs=2,
        action=NumberAction,
        most=MOST_PIXELS,
        metavar=("H", "W"),
        help="the image in pixels; default: 800 1280, for a segmenter its crop and four times that",
    )
    add_config_options(parser)
    return parser.parse_args(argv)


def main(argv: list[str]) -> None:
    args = parse_args(argv)

    from rich.console import Console

    from convnext_dense.analysis.flops import as_table, count
    from convnext_dense.config.plan import MODEL, plan_run

    cfg = plan_run(run_options(args), MODEL).config
    Console().print(as_table(count(cfg, args.shape), args.config))


if __name__ == "__main__":
    sys.exit(run_tool(main))
