"""Make the demo's data set of shapes in COCO's format: %(prog)s data/shapes."""

from __future__ import annotations

import argparse

from convnext_dense.cli.actions import add_number
from convnext_dense.cli.console.current import counting
from convnext_dense.cli.errors import add_debug_option
from convnext_dense.cli.flags import use_flags_of
from convnext_dense.cli.output import print_text


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``data shapes``."""
    parser.add_argument("out", help="its folder")
    add_number(parser, "--train", "training images", least=1, most=1_000_000, default=200)
    add_number(parser, "--val", "validation images", least=1, most=1_000_000, default=40)
    add_number(parser, "--size", "side in pixels", metavar="S", least=96, most=4096, default=288)
    add_number(parser, "--seed", "same seed, same data", metavar="K", least=0, default=0)
    add_debug_option(parser)
    parser.set_defaults(command=make_shapes_command)


def make_shapes_command(args: argparse.Namespace) -> None:
    """Make the data set, unless it is there; see :func:`convnext_dense.data.shapes.make_shapes`."""
    use_flags_of("data shapes")
    from convnext_dense.data.shapes import make_shapes

    with counting("images") as count:
        made = make_shapes(args.out, args.train, args.val, args.size, args.seed, count)
    print_text(
        f"{args.out}: {'made' if made else 'is there already, made with the same parameters'}"
    )
