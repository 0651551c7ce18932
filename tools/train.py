"""Train a detector or a segmenter: tools/train.py configs/det/cascade_convnext_t_coco.py."""

from __future__ import annotations

import argparse
import sys

from convnext_dense.cli.errors import run_tool
from convnext_dense.cli.train import add_train_options, train_command


def parse_args(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_train_options(parser)
    return parser.parse_args(argv)


def main(argv: list[str]) -> None:
    train_command(parse_args(argv))


if __name__ == "__main__":
    sys.exit(run_tool(main))
