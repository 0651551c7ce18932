"""Evaluate a checkpoint: tools/test.py configs/det/cascade_convnext_t_coco.py CHECKPOINT."""

from __future__ import annotations

import argparse
import sys

import convnext_dense  # noqa: F401  first, since it makes mmdet importable
from convnext_dense.cli.errors import run
from convnext_dense.cli.options import add_shared_options, load_config
from convnext_dense.cli.runner import leave_processes
from convnext_dense.cli.test import test


def parse_args(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
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
    return parser.parse_args(argv)


def main(argv: list[str]) -> None:
    args = parse_args(argv)
    test(load_config(args, splits=("test",)), args)
    leave_processes()


if __name__ == "__main__":
    sys.exit(run(main))
