"""Run a model on pictures, and draw or keep what it finds.

tools/infer.py work_dirs/shapes/config.py work_dirs/shapes/epoch_36.pth photos/ 'more/*.jpg' \\
    -o predictions --save pictures,json
"""

from __future__ import annotations

import argparse
import sys

import convnext_dense  # noqa: F401  first, since it makes mmdet importable
from convnext_dense.cli.errors import run_tool
from convnext_dense.cli.infer import add_infer_options, infer_command


def parse_args(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_infer_options(parser)
    return parser.parse_args(argv)


def main(argv: list[str]) -> None:
    infer_command(parse_args(argv))


if __name__ == "__main__":
    sys.exit(run_tool(main))
