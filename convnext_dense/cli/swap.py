"""What tools/swap_backbone.py does with a config and its arguments."""

from __future__ import annotations

import argparse
import inspect
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from convnext_dense.backbone.archs import ARCHS
from convnext_dense.cli.errors import add_debug_option
from convnext_dense.cli.flags import speak_as
from convnext_dense.cli.options import add_recipe_option, note, run_options
from convnext_dense.cli.output import say
from convnext_dense.cli.pairs import Pairs
from convnext_dense.swap import MODES
from convnext_dense.zoo import WEIGHTS

if TYPE_CHECKING:
    from mmengine.config import Config

    from convnext_dense.swap import Swap


def add_swap_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of tools/swap_backbone.py."""
    speak_as("swap_backbone")
    parser.add_argument("config", help="a config file, or one of mmdet's or mmseg's: mmdet::...")
    parser.add_argument("--arch", required=True, help=f"same, or one of {', '.join(ARCHS)}")
    parser.add_argument("-o", "--out", metavar="OUT.py", help="write the swapped config here")
    parser.add_argument(
        "--weights",
        metavar="PATH|URL|" + "|".join(WEIGHTS),
        help="the weights that training starts from; default: none",
    )
    add_recipe_option(parser)
    parser.add_argument(
        "--mode",
        choices=MODES,
        default="auto",
        help="native refuses what would need an adapter, adapter always puts one; default: auto",
    )
    parser.add_argument(
        "--backbone-options",
        nargs="+",
        action=Pairs,
        default={},
        metavar="KEY=VALUE",
        help="arguments of the new backbone, such as drop_path_rate=0.4 with_cp=True",
    )
    parser.add_argument("--diff", action="store_true", help="print what changes, and why")
    parser.add_argument(
        "--check",
        action="store_true",
        help="build it, and run one loss, one backward and one prediction on random input",
    )
    add_debug_option(parser)


def swap(args: argparse.Namespace) -> None:
    """Do what tools/swap_backbone.py was asked to.

    Raises:
        ValueError: Where nothing was asked for, or on a wrong value.
        SwapRefusedError: Where the config cannot have another backbone.
        TrialError: Where ``--check`` fails; nothing is written then.
    """
    if not (args.out or args.diff or args.check):
        raise ValueError("nothing to do: give -o OUT.py, --diff or --check")

    from convnext_dense.config.plan import SWAP, plan_run
    from convnext_dense.config.read_config import read_config
    from convnext_dense.swap import plan_swap
    from convnext_dense.swap.config_file import write_config

    for key in inspect.signature(plan_swap).parameters.keys() & args.backbone_options.keys():
        raise ValueError(
            f"--backbone-options {key}: the backbone takes no argument {key}"
            + (f"; there is a flag --{key}" if hasattr(args, key) else "")
        )
    original = read_config(args.config, import_custom_modules=False)
    asked = replace(run_options(args), config=original, backbone=args.arch)
    result = plan_run(asked, SWAP).swap
    assert result is not None  # since a backbone is asked for
    if args.diff:
        print_changes(result)
    for message in result.warnings:
        note(message)
    if args.check:
        check(result.config)
    if args.out:
        command = shlex.join(["tools/swap_backbone.py", *sys.argv[1:]])
        write_config(result, original, args.config, Path(args.out), command)
        say(f"wrote {args.out} ({result.tier})")


def print_changes(result: Swap) -> None:
    """Print every change with its reason."""
    say(f"tier: {result.tier}")
    for change in result.changes:
        say(f"{change.path}: {change.why}")
        for sign, value in (("-", change.old), ("+", change.new)):
            if value is not None:
                say(f"  {sign} {value!r}")


def check(cfg: Config) -> None:
    """Try a config out on random input, and print what it did.

    Raises:
        TrialError: Where a step fails.
        RuntimeError: Where a parameter of the backbone gets no gradient.
    """
    from convnext_dense.swap.trial import run_trial

    trial = run_trial(cfg)
    losses = ", ".join(f"{name} {value:.4g}" for name, value in trial.losses.items())
    say(f"check: losses {losses}")
    if trial.no_gradient:
        raise RuntimeError(
            f"{len(trial.no_gradient)} parameters of the backbone get no gradient, on which "
            f"training in several processes fails: {', '.join(trial.no_gradient[:5])}"
        )
    seconds = ", ".join(f"{name} {value:.1f} s" for name, value in trial.seconds.items())
    say(f"check: every parameter of the backbone has a gradient; prediction runs ({seconds})")
