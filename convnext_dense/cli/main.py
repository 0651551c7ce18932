"""The subcommands of ``convnext-dense``, which the files of ``tools/`` are too."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Sequence
from importlib import import_module

from convnext_dense.cli.completion import SHELLS, PrintCompletionAction, complete, words_to_complete
from convnext_dense.cli.errors import run_tool
from convnext_dense.cli.flags import use_flags_of
from convnext_dense.cli.help_text import LinesFormatter
from convnext_dense.cli.output import print_text
from convnext_dense.cli.program import called, use_program, used_program
from convnext_dense.text import nearest_first
from convnext_dense.version import STACK, __version__, installed_version

# What each does. The module of that name in this package has a docstring for its ``--help``, and
# ``add_options(parser)``, which sets the default ``command``: a function of the parsed arguments.
SUBCOMMANDS = {
    "train": "train a detector or a segmenter",
    "test": "evaluate a checkpoint, and print the figures",
    "infer": "run a model on pictures",
    "export": "write a trained model as ONNX",
    "evaluate": "evaluate result files without a model",
    "report": "write a page about one run or several",
    "data": "check data, draw it, or make the demo's",
    "weights": "inspect, convert or verify weights",
    "swap": "put a ConvNeXt under a config",
    "flops": "count parameters and FLOPs",
    "benchmark": "measure speed and memory",
    "recipes": "list the recipes, with published figures",
    "doctor": "examine this machine",
    "roadmap": "show the steps from ResNet to ConvNeXt, or train them on your data",
}
_USAGE = "%(prog)s SUBCOMMAND ..."
_DESCRIPTION = "ConvNeXt under the detectors and segmenters of mmdet and mmseg."
_EPILOG = "%(prog)s SUBCOMMAND --help has the flags of each."


def main(argv: list[str]) -> None:
    """Run the subcommand that the arguments begin with.

    Raises:
        ValueError: If there is no such subcommand; the message has the nearest ones.
    """
    use_program(used_program())
    chosen = _chosen(argv)
    if chosen and chosen not in SUBCOMMANDS:
        near = ", ".join(nearest_first(chosen, SUBCOMMANDS))
        raise ValueError(f"there is no subcommand {chosen!r}: choose {near}")
    parser = make_parser(chosen)
    if not argv:
        parser.print_help()
        parser.exit(2)
    args = parser.parse_args(argv)
    args.command(args)


def make_parser(chosen: str) -> argparse.ArgumentParser:
    """Return the parser of ``convnext-dense``.

    Args:
        chosen: The subcommand in question. Only it gets its flags, since they import what they are
            checked with.
    """
    parser = argparse.ArgumentParser(
        prog=used_program(), usage=_USAGE, description=_DESCRIPTION, epilog=_EPILOG
    )
    parser.add_argument(
        "--version", action=VersionAction, nargs=0, help="print ours and the stack's"
    )
    parser.add_argument(
        "--print-completion",
        action=PrintCompletionAction,
        choices=SHELLS,
        metavar="SHELL",
        help=f"print what makes {', '.join(SHELLS[:-1])} or {SHELLS[-1]} complete this command",
    )
    commands = parser.add_subparsers(
        required=True, metavar="SUBCOMMAND", title="subcommands", prog=parser.prog
    )
    for name, title in SUBCOMMANDS.items():
        command = commands.add_parser(name, help=title, formatter_class=LinesFormatter)
        if name == chosen:
            _fill(command, name)
    return parser


class VersionAction(argparse.Action):
    """Print the versions of this package and of what it stands on, and end; its ``nargs`` is 0."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print them."""
        print_text(f"convnext-dense {__version__}")
        print_text(f"Python {platform.python_version()}")
        for module, names in STACK.items():
            found = ((name, installed_version(name)) for name in names)
            shown = (f"{name} {version}" for name, version in found if version)
            print_text(next(shown, f"{module} is not installed"))
        parser.exit()


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
    use_flags_of(subcommand)
    module = import_module(f"convnext_dense.cli.{subcommand}")
    parser.description = module.__doc__
    module.add_options(parser)


def run_subcommand(subcommand: str, argv: list[str]) -> None:
    """Run a subcommand as a file of ``tools/``; arguments as in :func:`parse_args`."""
    args = parse_args(subcommand, argv)
    args.command(args)


def _chosen(argv: Sequence[str]) -> str:
    """Return the subcommand among arguments, or what stands in its place; empty if nothing does."""
    at = next((number for number, arg in enumerate(argv) if not arg.startswith("-")), None)
    takes_it = at and argv[at - 1] == "--print-completion"
    return "" if at is None or takes_it else argv[at]


def run() -> int:
    """Return the exit status of ``convnext-dense`` with the arguments of this process."""
    if (words := words_to_complete()) is not None:
        complete(make_parser(_chosen(words)))
    return run_tool(main)
