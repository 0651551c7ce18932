"""Put a ConvNeXt under a config of mmdet or mmseg, and write the config that results.

%(prog)s mmdet::retinanet/retinanet_r50_fpn_1x_coco.py --arch tiny \\
    --weights imagenet1k --recipe convnext -o retinanet_convnext_t.py --diff --check
"""

from __future__ import annotations

import argparse
import inspect
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from convnext_dense.backbone.archs import ARCHS
from convnext_dense.cli.actions import KeyValueAction
from convnext_dense.cli.console.current import show_note
from convnext_dense.cli.errors import add_debug_option
from convnext_dense.cli.options import add_config_argument, add_recipe_option, run_options
from convnext_dense.cli.output import print_text
from convnext_dense.cli.program import program_words
from convnext_dense.swap import MODES
from convnext_dense.zoo.recipes import PREFIX
from convnext_dense.zoo.weights import WEIGHTS

if TYPE_CHECKING:
    from mmengine.config import Config

    from convnext_dense.swap import Swap


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``swap``."""
    add_config_argument(parser)
    parser.add_argument(
        "--arch",
        required=True,
        help=f"same, or one of {', '.join(ARCHS)}; or roadmap:STEP or roadmap:STEP:base, a network "
        "between ResNet and ConvNeXt",
    )
    parser.add_argument("-o", "--out", metavar="OUT.py", help="write the swapped config here")
    parser.add_argument(
        "--weights",
        metavar="FILE|URL|NAME",
        help="the weights to start training from, or the name of published ones: "
        f"{', '.join(WEIGHTS)}; default: none",
    )
    add_recipe_option(parser)
    parser.add_argument(
        "--mode",
        choices=MODES,
        default="auto",
        help="native refuses a config that needs an adapter, adapter always adds one; auto",
    )
    parser.add_argument(
        "--backbone-options",
        nargs="+",
        action=KeyValueAction,
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
    parser.set_defaults(command=swap_command)


def swap_command(args: argparse.Namespace) -> None:
    """Replace a config's backbone, then print, check and write the result as the flags say.

    Raises:
        ValueError: If no output is asked for, or a value is wrong.
        SwapRefusedError: If the config cannot have another backbone.
        TrialError: If ``--check`` fails; nothing is written then.
    """
    if not (args.out or args.diff or args.check):
        raise ValueError("nothing to do: give -o OUT.py, --diff or --check")

    from convnext_dense.config.plan import SWAP, plan_run
    from convnext_dense.config.read_config import read_config, recipe_meant
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
    assert result is not None  # since a backbone is given
    if args.diff:
        print_changes(result)
    for message in result.warnings:
        show_note(message)
    if args.check:
        check_config(result.config)
    if args.out:
        command = shlex.join([*program_words(), *sys.argv[1:]])
        recipe = recipe_meant(args.config)
        base = f"{PREFIX}{recipe}.py" if recipe else args.config
        write_config(result, original, base, Path(args.out), command)
        print_text(f"wrote {args.out} ({result.tier})")


def print_changes(result: Swap) -> None:
    """Print every change with its reason."""
    print_text(f"tier: {result.tier}")
    for change in result.changes:
        print_text(f"{change.path}: {change.why}")
        for sign, value in (("-", change.old), ("+", change.new)):
            if value is not None:
                print_text(f"  {sign} {value!r}")


def check_config(cfg: Config) -> None:
    """Try a config out on random input, and print losses and times.

    Raises:
        TrialError: If a step fails.
        RuntimeError: If a parameter of the backbone gets no gradient.
    """
    from convnext_dense.swap.trial import run_trial

    trial = run_trial(cfg)
    losses = ", ".join(f"{name} {value:.4g}" for name, value in trial.losses.items())
    print_text(f"check: losses {losses}")
    if trial.no_gradient:
        raise RuntimeError(
            f"{len(trial.no_gradient)} parameters of the backbone get no gradient, so training in "
            f"several processes would fail: {', '.join(trial.no_gradient[:5])}"
        )
    seconds = ", ".join(f"{name} {value:.1f} s" for name, value in trial.seconds.items())
    print_text(
        f"check: every parameter of the backbone has a gradient; prediction runs ({seconds})"
    )
