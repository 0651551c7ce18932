"""Train a detector or a segmenter: %(prog)s configs/det/cascade_convnext_t_coco.py."""

from __future__ import annotations

import argparse
import shlex

from convnext_dense.cli.actions import add_number, number_or
from convnext_dense.cli.console.current import current_screen
from convnext_dense.cli.console.run import RunConsole
from convnext_dense.cli.options import add_config_argument, add_shared_options, run_options
from convnext_dense.cli.program import called, words_of
from convnext_dense.config.options import ALL, AMP_DTYPES, AUTO
from convnext_dense.config.trackers import TRACKERS
from convnext_dense.training.observer import Outcome
from convnext_dense.zoo.weights import WEIGHTS


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``train``."""
    add_config_argument(parser)
    parser.add_argument(
        "--weights",
        metavar="FILE|URL|NAME",
        help="the backbone's weights instead of the config's, in any published layout; or the name "
        f"of published weights for its arch: {', '.join(WEIGHTS)} ({called('weights list')}); none "
        "trains from scratch",
    )
    parser.add_argument(
        "--freeze",
        metavar="N|all",
        type=number_or(ALL),
        help="train without the backbone's stem and its first N stages, or without the whole "
        "backbone; 0: without the stem, -1: nothing is frozen",
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const=AUTO,
        metavar="CKPT",
        help="resume a checkpoint, by default the last one in the work directory",
    )
    parser.add_argument("--seed", type=int, help="makes a run repeatable; default: random")
    add_setting_options(parser)
    add_shared_options(parser)
    parser.set_defaults(command=train_command)


def add_setting_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of how is trained, which several trainings may share."""
    parser.add_argument(
        "--amp",
        nargs="?",
        const=AMP_DTYPES[0],
        choices=AMP_DTYPES,
        help="mixed precision; on a CPU it is bfloat16",
    )
    add_number(
        parser,
        "--epochs",
        "train so many epochs; warm-up, schedule, intervals and stages are scaled",
        least=1,
    )
    add_number(parser, "--iters", "train so many iterations instead", least=1)
    add_number(
        parser,
        "--val-every",
        "validate every N epochs, or iterations if these are counted",
        least=1,
    )
    add_number(
        parser,
        "--lr",
        "base learning rate; the rates of layers and the end of the schedule follow",
        type=float,
        metavar="X",
    )
    parser.add_argument(
        "--auto-scale-lr", action="store_true", help="scale the learning rate with the batch size"
    )
    add_number(
        parser,
        "--accumulate",
        "batches per optimizer step; default: the config's, 1 in the recipes",
        least=1,
        most=10_000,
    )
    parser.add_argument(
        "--deterministic", action="store_true", help="use deterministic kernels (slower)"
    )
    parser.add_argument("--ema", action="store_true", help="evaluate and save averaged weights")
    add_number(
        parser,
        "--early-stop",
        "stop after so many validations in a row without a new best",
        metavar="PATIENCE",
        least=1,
    )
    parser.add_argument(
        "--log",
        metavar="A,B",
        help=f"log to these too: {', '.join(TRACKERS)}",
    )
    parser.add_argument("--tensorboard", action="store_true", help="the same as --log tensorboard")


def train_command(args: argparse.Namespace) -> None:
    """Train the model of a config; see :func:`convnext_dense.training.run.train`."""
    from convnext_dense.cli.resume import resuming_command
    from convnext_dense.training.processes import leave_processes
    from convnext_dense.training.run import train

    with RunConsole(current_screen(), _next_command).shown() as console:
        train(run_options(args), console.note, resuming_command(args), console)
    leave_processes()


def _next_command(outcome: Outcome) -> str:
    """Return the command that tests what a training left."""
    if outcome.checkpoint is None:
        return ""
    return shlex.join([*words_of("test"), str(outcome.config), str(outcome.checkpoint)])
