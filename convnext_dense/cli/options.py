"""The flags that tools share, and the config that they make."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from convnext_dense.checkpoints.load import WAY_OUT
from convnext_dense.checkpoints.source import read_source
from convnext_dense.cli.backbone import add_backbone_options, backbone_arguments
from convnext_dense.cli.errors import add_debug_option
from convnext_dense.cli.numbers import Number
from convnext_dense.cli.output import say
from convnext_dense.cli.pairs import Pairs
from convnext_dense.config.checks.keys import UnknownKeyError, check_keys
from convnext_dense.config.checks.values import check_sections, check_values
from convnext_dense.config.data.paths import follow_environment
from convnext_dense.config.read import read_config
from convnext_dense.config.steps.data import retarget
from convnext_dense.limits import MOST_PIXELS
from convnext_dense.swap import plan_swap
from convnext_dense.swap.edits import Edits
from convnext_dense.swap.preprocessing import follow_weights

LAUNCHERS = ("none", "pytorch", "slurm", "mpi")
# What load_config takes for the flags that a tool has not.
NOT_GIVEN = dict(
    data_root=None,
    classes=None,
    img_size=None,
    ann_train=None,
    ann_val=None,
    batch_size=None,
    box_only=False,
    backbone=None,
    recipe="keep",
    launcher="none",
    work_dir=None,
)


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
        action="append",
        default=[],
        metavar="KEY",
        help="let --cfg-options set this key, and those below it, though nothing is known to read "
        "it; may be given several times",
    )
    parser.set_defaults(**NOT_GIVEN)
    add_debug_option(parser)


def load_config(args: argparse.Namespace, splits: Iterable[str] = ()) -> Config:
    """Read the config that the arguments name, and apply CONVNEXT_DENSE_DATA and the flags.

    ``--cfg-options`` come last, so that they can override what a flag has set.

    Args:
        args: The flags of :func:`add_shared_options`, or some of them.
        splits: Which of ``train``, ``val`` and ``test`` the tool loads data of.

    Raises:
        FileNotFoundError: Where there is no such config.
        ImportError: Where the config inherits from a package that is not installed.
        ValueError: Where a flag, a key or a value makes no sense.
    """
    # What only the old backbone needs is not imported: mmpretrain for its ConvNeXt.
    cfg = read_config(args.config, import_custom_modules=not args.backbone)
    weights = getattr(args, "weights", None)
    if weights and "://" in weights and not getattr(args, "resume", None):
        read_source(weights, way_out=WAY_OUT)  # downloaded now, since their content tells more
    if args.backbone:
        cfg = _swap(cfg, args)
    elif weights:
        cfg = _follow_weights(cfg, weights)
    if args.data_root is None:
        cfg = follow_environment(cfg)
    cfg = retarget(
        cfg,
        data_root=args.data_root,
        classes=args.classes,
        img_size=args.img_size,
        ann_train=args.ann_train,
        ann_val=args.ann_val,
        batch_size=args.batch_size,
        box_only=args.box_only,
    )
    apply_cfg_options(cfg, args, splits)
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or cfg.get("work_dir") or f"work_dirs/{Path(args.config).stem}"
    _check_folder(cfg.work_dir)
    return cfg


def _check_folder(work_dir: object) -> None:
    """Refuse a name that the run's config and logs could not hold."""
    if not isinstance(work_dir, str):
        raise ValueError(f"work_dir is {work_dir!r}, not the path of a folder")
    try:
        work_dir.encode()
    except UnicodeEncodeError:
        raise ValueError(f"--work-dir {work_dir}: the name is not UTF-8, take another") from None


def apply_cfg_options(cfg: Config, args: argparse.Namespace, splits: Iterable[str] = ()) -> None:
    """Apply ``--cfg-options``, and check the config that results.

    Args:
        cfg: Changed in place.
        args: ``cfg_options`` and ``force_key``.
        splits: Which of ``train``, ``val`` and ``test`` the tool loads data of.

    Raises:
        ValueError: Where a key is not known or cannot be set, or a value makes no sense.
    """
    options = args.cfg_options
    try:
        check_keys(cfg, options, args.force_key)
    except UnknownKeyError as error:
        raise ValueError(
            f"--cfg-options: {error}. --force-key {error.key} sets it all the same"
        ) from error
    except ValueError as error:
        raise ValueError(f"--cfg-options: {error}") from error
    cfg.merge_from_dict(options)
    if "model" in cfg:
        check_sections(cfg, ["model"])
    # What was asked for makes sense or not, also where this tool does not use it.
    asked = {key.partition("_dataloader.")[0] for key in options}
    check_values(cfg, {*splits, *asked})


def _swap(cfg: Config, args: argparse.Namespace) -> Config:
    """Apply ``--backbone``. In a test the checkpoint brings the weights."""
    weights = getattr(args, "weights", None)
    arguments = backbone_arguments(cfg, args.backbone, weights)
    swap = plan_swap(cfg, args.backbone, recipe=args.recipe, **arguments)
    note(
        f"--backbone {args.backbone}: {swap.tier}; tools/swap_backbone.py --diff says what changed"
    )
    for message in swap.warnings:
        note(message)
    import_modules_from_strings(**swap.config.custom_imports)
    return swap.config


def _follow_weights(cfg: Config, weights: str) -> Config:
    """Let the normalisation follow ``--weights`` where the backbone stays."""
    edits = Edits(cfg)
    if weights != "none":
        follow_weights(edits, weights)
    for change in edits.changes:
        note(f"--weights {weights}: {change}")
    return Config(edits.cfg, filename=cfg.filename) if edits.changes else cfg


def rank() -> int:
    """Give this process's rank as its launcher tells it, before anything is set up."""
    return int(next((os.environ[key] for key in _RANK if key in os.environ), 0))


def world_size(launcher: str) -> int:
    """Give the number of processes as the launcher tells it, before anything is set up."""
    key = _WORLD_SIZE[launcher]
    return int(os.environ.get(key, 1)) if key else 1


def note(message: str) -> None:
    """Tell the user, once for all processes, what was not done as the config says."""
    if rank() == 0:
        say(f"note: {message}")


_RANK = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK")
_WORLD_SIZE = {
    "none": None,
    "pytorch": "WORLD_SIZE",
    "slurm": "SLURM_NTASKS",
    "mpi": "OMPI_COMM_WORLD_SIZE",
}
