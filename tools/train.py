"""Train a detector or a segmenter: tools/train.py configs/det/cascade_convnext_t_coco.py."""

from __future__ import annotations

import argparse
import sys

import convnext_dense  # noqa: F401  first, since it makes mmdet importable
from convnext_dense.cli.device import AMP_DTYPES
from convnext_dense.cli.errors import run
from convnext_dense.cli.numbers import Number
from convnext_dense.cli.options import add_shared_options, load_config
from convnext_dense.cli.runner import leave_processes
from convnext_dense.cli.train import train


def parse_args(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="a config file, or one of mmdet's or mmseg's: mmdet::...")
    parser.add_argument(
        "--weights",
        metavar="FILE|URL|NAME",
        help="the backbone's weights instead of the config's, in any published layout; or "
        "imagenet1k, imagenet22k, fcmae: those published for its arch; none trains from scratch",
    )
    parser.add_argument(
        "--amp",
        nargs="?",
        const="float16",
        choices=AMP_DTYPES,
        help="mixed precision; on a CPU it is bfloat16",
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="CKPT",
        help="go on from a checkpoint, by default from the last one in the work directory",
    )
    parser.add_argument(
        "--auto-scale-lr", action="store_true", help="scale the learning rate with the batch size"
    )
    parser.add_argument(
        "--accumulate",
        metavar="N",
        type=int,
        action=Number,
        least=1,
        most=10_000,
        help="batches per optimizer step; default: the config's, 1 in the recipes",
    )
    parser.add_argument("--seed", type=int, help="makes a run repeatable; default: random")
    parser.add_argument(
        "--deterministic", action="store_true", help="choose deterministic kernels (slower)"
    )
    parser.add_argument("--ema", action="store_true", help="evaluate and keep averaged weights")
    parser.add_argument("--tensorboard", action="store_true", help="log for TensorBoard too")
    add_shared_options(parser)
    return parser.parse_args(argv)


def main(argv: list[str]) -> None:
    args = parse_args(argv)
    train(load_config(args, splits=("train", "val")), args)
    leave_processes()


if __name__ == "__main__":
    sys.exit(run(main))
