"""The subcommands of ``convnext-dense``, which the files of ``tools/`` are too."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module

from convnext_dense.cli.errors import run_tool
from convnext_dense.cli.help_text import LinesFormatter
from convnext_dense.cli.program import called, use_program, used_program
from convnext_dense.cli.versions import VersionAction

# What each does. The module of that name in this package has a docstring for its ``--help``, and
# ``add_options(parser)``, which sets the default ``command``: a function of the parsed arguments.
SUBCOMMANDS = {
    "train": "train a detector or a segmenter",
    "test": "evaluate a checkpoint, and print the figures",
    "infer": "run a model on pictures",
    "evaluate": "evaluate result files without a model",
    "report": "write a page about one run or several",
    "data": "check data, draw it, or make the demo's",
    "weights": "inspect, convert or verify weights",
    "swap": "put a ConvNeXt under a config",
    "flops": "count parameters and FLOPs",
    "benchmark": "measure speed and memory",
    "recipes": "list the recipes, with published figures",
    "doctor": "examine this machine",
}
_DESCRIPTION = "ConvNeXt under the detectors and segmenters of mmdet and mmseg."
_EPILOG = "%(prog)s SUBCOMMAND --help has the flags of each."


def main(argv: list[str]) -> None:
    """Run the subcommand that the arguments begin with.

    Raises:
        ValueError: If there is no such subcommand; the message has the nearest ones.
    """
    use_program(used_program())
    parser = make_parser(argv)
    if not argv:
        parser.print_help()
        parser.exit(2)
    args = parser.parse_args(argv)
    args.command(args)


def make_parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of ``convnext-dense``.

    Only the subcommand in question gets its flags, since they import what they are checked with.

    Raises:
        ValueError: If there is no subcommand of that name.
    """
    parser = argparse.ArgumentParser(prog=used_program(), description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument(
        "--version", action=VersionAction, nargs=0, help="print ours and the stack's"
    )
    commands = parser.add_subparsers(required=True, metavar="SUBCOMMAND", title="subcommands")
    chosen = next((arg for arg in argv if not arg.startswith("-")), "")
    if chosen and chosen not in SUBCOMMANDS:
        near = get_close_matches(chosen, SUBCOMMANDS, n=2, cutoff=0.5)
        raise ValueError(
            f"there is no subcommand {chosen!r}; "
            + (f"the nearest is {' or '.join(near)}, of " if near else "there are ")
            + ", ".join(SUBCOMMANDS)
        )
    for name, title in SUBCOMMANDS.items():
        command = commands.add_parser(name, help=title, formatter_class=LinesFormatter)
        if name == chosen:
            _fill(command, name)
    return parser


def parse_args(subcommand: str, argv: list[str]) -> argparse.Namespace:
    """Parse the arguments of a file of ``tools/``.

    Args:
        subcommand: Its name in :data:`SUBCOMMANDS`.
        argv: The arguments after the file's name.
    """
    parser = argparse.ArgumentParser(prog=called(subcommand), formatter_class=LinesFormatter)
    _fill(parser, subcommand)
    return parser.parse_args(argv)


def _fill(parser: argparse.ArgumentParser, subcommand: str) -> None:
    module = import_module(f"convnext_dense.cli.{subcommand}")
    parser.description = module.__doc__
    module.add_options(parser)


def run_subcommand(subcommand: str, argv: list[str]) -> None:
    """Run a subcommand as a file of ``tools/``; arguments as in :func:`parse_args`."""
    args = parse_args(subcommand, argv)
    args.command(args)


def run() -> int:
    """Return the exit status of ``convnext-dense`` with the arguments of this process."""
    return run_tool(main)
