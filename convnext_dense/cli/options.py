"""The flags that tools share, and the run options that are made from them."""

from __future__ import annotations

import argparse
from dataclasses import fields

from convnext_dense.backbone.archs import ARCHS
from convnext_dense.cli.actions import KeyValueAction, add_number, number_or
from convnext_dense.cli.errors import add_debug_option
from convnext_dense.config.options import AUTO, LAUNCHERS, RunOptions
from convnext_dense.limits import MOST_PIXELS
from convnext_dense.swap import RECIPES


def add_shared_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags that training and testing share."""
    add_data_options(parser, batches=True)
    add_backbone_options(parser)
    parser.add_argument("--work-dir", metavar="D", help="default: work_dirs/<name of the config>")
    parser.add_argument("--launcher", choices=LAUNCHERS, default="none")
    # torchrun sets LOCAL_RANK; older launchers pass the flag.
    parser.add_argument("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)
    add_config_options(parser)


def add_data_options(parser: argparse.ArgumentParser, *, batches: bool) -> None:
    """Add the flags that make a config use other data, and those of loaders for ``batches``."""
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
        add_number(
            data,
            "--batch-size",
            "training images per process; auto: the most that fit into a GPU, and the "
            "learning rate that follows",
            type=number_or(AUTO),
            metavar="N|auto",
            least=1,
        )
        add_number(
            data,
            "--workers",
            "processes that load the data of each loader; 0: the run itself loads it",
            least=0,
        )
        add_number(data, "--limit", "images of each split, for a trial run", least=1)
    data.add_argument("--box-only", action="store_true", help="train and test without masks")


def add_config_argument(parser: argparse.ArgumentParser) -> None:
    """Add the config, a positional argument."""
    parser.add_argument(
        "config",
        help="a config file, a recipe by its name, or one of mmdet's or mmseg's: mmdet::...",
    )


def add_device_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``."""
    parser.add_argument(
        "--device", metavar="D", help="such as cpu or cuda:1; default: CUDA if there is a GPU"
    )


def add_image_size_option(parser: argparse._ActionsContainer) -> None:
    """Add ``--img-size``."""
    add_number(
        parser,
        "--img-size",
        "short side, or crop, in pixels; at least 32",
        metavar="S",
        most=MOST_PIXELS,
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
        help=f"replace the config's backbone by this ConvNeXt: {', '.join(ARCHS)}, same; or by a "
        "network on the road to it from ResNet: roadmap:STEP or roadmap:STEP:base",
    )


def add_recipe_option(parser: argparse._ActionsContainer) -> None:
    """Add ``--recipe``."""
    parser.add_argument(
        "--recipe",
        choices=RECIPES,
        default="keep",
        help="keep the optimizer of the config, or use the published one; default: keep",
    )


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of every tool that takes a config."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=KeyValueAction,
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
        help="let --cfg-options set this key and the keys below it, although no known code reads "
        "it; may be given several times",
    )
    add_debug_option(parser)


def run_options(args: argparse.Namespace) -> RunOptions:
    """Return the run options from a tool's flags; flags that the tool lacks keep their default."""
    names = [field.name for field in fields(RunOptions)]
    return RunOptions(**{name: getattr(args, name) for name in names if hasattr(args, name)})
