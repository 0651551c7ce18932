"""Evaluate result files without a model.

tools/evaluate.py coco results.json annotations/instances_val2017.json --per-class
tools/evaluate.py ade20k predictions/ ade/annotations/validation/ --reduce-zero-label
"""

from __future__ import annotations

import argparse
import sys

import convnext_dense  # noqa: F401  first, since it makes mmseg importable
from convnext_dense.cli.errors import run_tool
from convnext_dense.cli.evaluate import add_evaluate_options


def parse_args(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_evaluate_options(parser)
    return parser.parse_args(argv)


def main(argv: list[str]) -> None:
    args = parse_args(argv)
    args.command(args)


if __name__ == "__main__":
    sys.exit(run_tool(main))
