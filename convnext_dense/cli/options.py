"""The flags that tools share, and the options of a run that they make."""

from __future__ import annotations

import argparse
from dataclasses import fields

from convnext_dense.backbone.archs import ARCHS
from convnext_dense.cli.errors import add_debug_option
from convnext_dense.cli.numbers import Number
from convnext_dense.cli.output import say
from convnext_dense.cli.pairs import Pairs
from convnext_dense.config.options import LAUNCHERS, RunOptions
from convnext_dense.limits import MOST_PIXELS
from convnext_dense.ranks import rank
from convnext_dense.swap import RECIPES


def add_shared_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags for data, backbone, work directory, config and launcher."""
    add_data_options(parser, batches=True)
    add_backbone_options(parser)
    parser.add_argument("--work-dir", metavar="D", help="default: work_dirs/<name of the config>")
    parser.add_argument("--launcher", choices=LAUNCHERS, default="none")
    # torchrun sets LOCAL_RANK; older launchers pass the flag.
    parser.add_argument("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)
    add_config_options(parser)


def add_data_options(parser: argparse.ArgumentParser, *, batches: bool) -> None:
    """Add the flags that point a config at other data.

    Args:
        parser: Where to.
        batches: Whether ``--batch-size`` is among them.
    """
    data = parser.add_argument_group("your data")
    data.add_argument("--data-root", metavar="D", help="folder of the data set, in every loader")
    data.add_argument("--classes", metavar="A,B,C", help="class names, in every data set and head")
    add_image_size_option(data)
    data.add_argument(
        "--ann-train", metavar="F", help="training annotations: absolute, or below the data root"
    )
    data.add_argument(
        "--ann-val", metavar="F", help="validation annotations: absolute, or below the data root"
    )
    if batches:
        data.add_argument(
            "--batch-size", metavar="N", type=int, action=Number, least=1, help="images per process"
        )
    data.add_argument("--box-only", action="store_true", help="train and test without masks")


def add_image_size_option(parser: argparse._ActionsContainer) -> None:
    """Add ``--img-size``."""
    parser.add_argument(
        "--img-size",
        metavar="S",
        type=int,
        action=Number,
        most=MOST_PIXELS,
        help="short side, or crop, in pixels; at least 32",
    )


def add_backbone_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--backbone`` and ``--recipe``."""
    group = parser.add_argument_group("a ConvNeXt under your config")
    add_backbone_option(group)
    add_recipe_option(group)


def add_backbone_option(parser: argparse._ActionsContainer) -> None:
    """Add ``--backbone``."""
    parser.add_argument(
        "--backbone",
        metavar="ARCH",
        help=f"put this ConvNeXt in the place of the config's backbone: {', '.join(ARCHS)}, same",
    )


def add_recipe_option(parser: argparse._ActionsContainer) -> None:
    """Add ``--recipe``."""
    parser.add_argument(
        "--recipe",
        choices=RECIPES,
        default="keep",
        help="keep the optimizer of the config, or take the published one; default: keep",
    )


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of every tool that takes a config."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=Pairs,
        default={},
        metavar="KEY=VALUE",
        help="override any key, such as model.backbone.arch=atto",
    )
    parser.add_argument(
        "--force-key",
        dest="force_keys",
        action="append",
        default=[],
        metavar="KEY",
        help="let --cfg-options set this key, and those below it, though nothing is known to read "
        "it; may be given several times",
    )
    add_debug_option(parser)


def run_options(args: argparse.Namespace) -> RunOptions:
    """Return what the flags of a tool ask for; those that it does not have ask for nothing."""
    names = [field.name for field in fields(RunOptions)]
    return RunOptions(**{name: getattr(args, name) for name in names if hasattr(args, name)})


def note(message: str) -> None:
    """Print, once for all processes, what was not done as the config says."""
    if rank() == 0:
        say(f"note: {message}")
