"""Print the parameters and FLOPs of a config's model, part by part, without data or weights.

tools/flops.py configs/det/cascade_convnext_t_coco.py
"""

from __future__ import annotations

import argparse
import sys

import convnext_dense  # noqa: F401  first, since it makes mmdet importable
from convnext_dense.cli.errors import run
from convnext_dense.cli.flags import speak_as
from convnext_dense.cli.numbers import Number
from convnext_dense.cli.options import add_config_options, run_options
from convnext_dense.limits import MOST_PIXELS


def parse_args(argv: list[str]) -> argparse.Namespace:
    speak_as("flops")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="a config file, or one of mmdet's or mmseg's: mmdet::...")
    parser.add_argument(
        "--shape",
        type=int,
        nargs=2,
        action=Number,
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
    sys.exit(run(main))
