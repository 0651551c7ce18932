"""Make the demo's data set of shapes in COCO's format: %(prog)s data/shapes."""

from __future__ import annotations

import argparse
from typing import Any

from convnext_dense.cli.actions import NumberAction
from convnext_dense.cli.console.current import counting
from convnext_dense.cli.errors import add_debug_option
from convnext_dense.cli.flags import use_flags_of
from convnext_dense.cli.output import print_text


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``data shapes``."""
    parser.add_argument("out", help="its folder")
    count: dict[str, Any] = dict(
        metavar="N", type=int, action=NumberAction, least=1, most=1_000_000
    )
    parser.add_argument("--train", **count, default=200, help="training images")
    parser.add_argument("--val", **count, default=40, help="validation images")
    side: dict[str, Any] = dict(metavar="S", type=int, action=NumberAction, least=96, most=4096)
    parser.add_argument("--size", **side, default=288, help="side in pixels")
    seed: dict[str, Any] = dict(metavar="K", type=int, action=NumberAction, least=0)
    parser.add_argument("--seed", **seed, default=0, help="same seed, same data")
    add_debug_option(parser)
    parser.set_defaults(command=make_shapes_command)


def make_shapes_command(args: argparse.Namespace) -> None:
    """Make the data set, unless it is there.

    Raises:
        FileExistsError: If the folder holds anything else.
        OSError: If it cannot be written.
    """
    use_flags_of("data shapes")
    from convnext_dense.data.shapes import make_shapes

    with counting("images") as count:
        made = make_shapes(args.out, args.train, args.val, args.size, args.seed, count)
    print_text(
        f"{args.out}: {'made' if made else 'is there already, made with the same parameters'}"
    )
