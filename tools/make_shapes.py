"""Make the demo's data set of shapes in COCO's format: tools/make_shapes.py data/shapes."""

from __future__ import annotations

import argparse
import sys

from convnext_dense.cli.errors import add_debug_option, run
from convnext_dense.cli.output import say
from convnext_dense.data.shapes import make_shapes


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", help="its folder")
    parser.add_argument("--train", metavar="N", type=int, default=200, help="training images")
    parser.add_argument("--val", metavar="N", type=int, default=40, help="validation images")
    parser.add_argument("--size", metavar="S", type=int, default=288, help="side in pixels")
    parser.add_argument("--seed", metavar="K", type=int, default=0, help="same seed, same data")
    add_debug_option(parser)
    args = parser.parse_args(argv)
    made = make_shapes(args.out, args.train, args.val, args.size, args.seed)
    say(f"{args.out}: {'made' if made else 'is there already, made with the same parameters'}")


if __name__ == "__main__":
    sys.exit(run(main))
