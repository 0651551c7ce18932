"""Look at, convert or check ConvNeXt weights: tools/weights.py verify convnext_tiny.pth."""

from __future__ import annotations

import argparse
import sys

from convnext_dense.checkpoints.layouts import TARGETS
from convnext_dense.cli.errors import add_debug_option, run_tool
from convnext_dense.cli.flags import use_flags_of


def parse_args(argv: list[str]) -> argparse.Namespace:
    use_flags_of("weights")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("source", help="path, URL, or hub id such as timm/convnext_tiny.fb_in1k")
    shared.add_argument(
        "--prefix",
        help="take only what lies below it: names such as backbone, keys such as teacher",
    )
    shared.add_argument("--ema", action="store_true", help="take the moving averages")
    shared.add_argument(
        "--trust",
        action="store_true",
        help="unpickle anything the file holds: it can run any code",
    )
    add_debug_option(shared)

    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="inspect|convert|verify")
    inspect = commands.add_parser("inspect", parents=[shared], help="print what a file holds")
    inspect.set_defaults(command="inspect_weights")
    convert = commands.add_parser("convert", parents=[shared], help="write another layout")
    convert.add_argument("out", help="ends in .safetensors or .pth")
    convert.add_argument(
        "--to", choices=TARGETS, default="meta", help="default: meta, which is ours"
    )
    convert.add_argument("--overwrite", action="store_true", help="replace OUT where it exists")
    convert.set_defaults(command="convert_weights")
    verify = commands.add_parser(
        "verify", parents=[shared], help="compare features with the file's own network"
    )
    verify.set_defaults(command="verify_weights")
    return parser.parse_args(argv)


def main(argv: list[str]) -> None:
    args = parse_args(argv)
    from convnext_dense.cli import weights  # imports torch, which no help needs

    getattr(weights, args.command)(args)


if __name__ == "__main__":
    sys.exit(run_tool(main))
