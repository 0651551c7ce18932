"""Show the steps from ResNet to ConvNeXt, what they cost and what they bring.

%(prog)s --plot roadmap.png
%(prog)s run CONFIG --steps resnet inverted_bottleneck layer_norm \\
    --iters 2000 --seeds 3 --data-root D --classes A,B
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from convnext_dense.backbone.roadmap import REGIMES, STEPS, find_step
from convnext_dense.cli.actions import add_number
from convnext_dense.cli.console.current import current_screen, open_screen
from convnext_dense.cli.console.run import RunConsole
from convnext_dense.cli.errors import add_debug_option
from convnext_dense.cli.help_text import LinesFormatter
from convnext_dense.cli.options import (
    add_config_argument,
    add_config_options,
    add_data_options,
    add_device_option,
    add_recipe_option,
    run_options,
)
from convnext_dense.cli.output import print_text, safe_output
from convnext_dense.cli.train import add_setting_options
from convnext_dense.config.options import RunOptions
from convnext_dense.files import ensure_writable
from convnext_dense.limits import MOST_IMAGES
from convnext_dense.patches import enable
from convnext_dense.upstream.file_handlers import plain_files

ALL = "all"
# Columns of a table if the output is a file.
_WIDTH = 160
RUN = """Train steps on your data one after the other, and compare what they reach.

Every step begins with random weights. A step and a seed that have ended are not trained again, and
one that was killed continues, if the same command is given again; steps and seeds may be added. The
figure of the last validation counts.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``roadmap``, and its subcommand ``run``."""
    _add_choice(parser, required=False)
    add_number(
        parser,
        "--rounds",
        "samples of each network's speed; 0 measures none; default: %(default)s",
        least=0,
        most=10_000,
        default=5,
    )
    add_number(
        parser,
        "--batch",
        "images in a batch for the speed; default: %(default)s",
        least=1,
        most=MOST_IMAGES,
        default=1,
    )
    add_device_option(parser)
    parser.add_argument("--plot", metavar="FILE", help="draw the paper's figure: .png, .svg, .pdf")
    add_debug_option(parser)
    parser.set_defaults(command=show_command)
    commands = parser.add_subparsers(metavar="run", title="subcommand")
    run = commands.add_parser(
        "run",
        help="train steps on your data",
        description=RUN,
        formatter_class=LinesFormatter,
    )
    add_config_argument(run)
    _add_choice(run, required=True)
    add_number(
        run,
        "--seeds",
        "trainings of each step, with the seeds from 0; default: %(default)s",
        least=1,
        most=1000,
        default=3,
    )
    run.add_argument(
        "--metric", metavar="NAME", help="the figure to compare; default: bbox_mAP or mIoU"
    )
    run.add_argument("--work-dir", metavar="D", help="default: work_dirs/roadmap_<config's name>")
    add_data_options(run, batches=True)
    add_recipe_option(run)
    add_setting_options(run)
    add_config_options(run)
    run.set_defaults(command=run_command)


def _add_choice(parser: argparse.ArgumentParser, required: bool) -> None:
    """Add ``--steps`` and ``--regime``."""
    parser.add_argument(
        "--steps",
        nargs="+",
        required=required,
        default=[ALL],
        metavar="STEP",
        help=f"{ALL}, or some of {', '.join(STEPS)}",
    )
    parser.add_argument(
        "--regime",
        choices=REGIMES,
        default=REGIMES[0],
        help="from ResNet-50 to ConvNeXt-T, or from ResNet-200 to ConvNeXt-B; default: %(default)s",
    )


def _steps(names: list[str]) -> list[str]:
    """Return the steps that are asked for, each once, in the order of the road.

    Raises:
        ValueError: If there is no step of that name; the message lists them, the nearest first.
    """
    if names == [ALL]:
        return list(STEPS)
    chosen = {find_step(name).name for name in names}
    return [step for step in STEPS if step in chosen]


def show_command(args: argparse.Namespace) -> None:
    """Print the table of the steps, and draw the figure of the paper.

    Raises:
        ValueError: If there is no such step, or the figure's suffix is not that of a picture.
        WriteError: If the figure cannot be written.
    """
    steps = _steps(args.steps)

    from convnext_dense.inference.model import choose_device
    from convnext_dense.roadmap.figure import check_format, draw_published
    from convnext_dense.roadmap.table import as_table, count_step, describe_machine, measure_steps

    if args.plot:
        check_format(args.plot)
        ensure_writable(args.plot)
    rows = [count_step(step, args.regime) for step in steps]
    if args.rounds:
        device = choose_device(args.device)
        speeds = measure_steps(steps, args.regime, device, args.batch, args.rounds)
        rows = [replace(row, speed=speeds[row.step]) for row in rows]
        print_text(f"images/s: {describe_machine(device, args.batch)}")
    _print_table(as_table(rows, args.regime))
    if args.plot:
        draw_published(args.plot, steps)
        print_text(f"wrote {args.plot}")


def run_command(args: argparse.Namespace) -> None:
    """Train steps; see :func:`convnext_dense.roadmap.ablation.train_steps`."""
    steps = _steps(args.steps)
    work_dir = args.work_dir or f"work_dirs/roadmap_{Path(args.config).stem}"

    from convnext_dense.roadmap.ablation import train_steps
    from convnext_dense.roadmap.comparison import as_table, draw_comparison
    from convnext_dense.roadmap.results import read_results

    options = replace(run_options(args), work_dir=work_dir)
    train_one = partial(_train_one, verbose=args.verbose)
    train_steps(options, steps, args.seeds, args.regime, args.metric, print_text, train_one)
    metric, reached = read_results(work_dir, steps, args.metric)
    _print_table(as_table(metric, reached, args.regime))
    plot = f"{work_dir}/roadmap.png"
    draw_comparison(plot, metric, reached, args.regime)
    print_text(f"wrote {plot}")


def _print_table(table: Table) -> None:
    screen = current_screen()
    Console(force_terminal=screen.is_terminal, width=screen.width or _WIDTH).print(table)


def _train_one(options: RunOptions, verbose: bool) -> None:
    """Train in the process of one training, and print what it reports."""
    from convnext_dense.training.run import train

    with safe_output(), open_screen(verbose=verbose), plain_files():
        enable()
        with RunConsole(current_screen()).shown() as console:
            train(options, console.note, observer=console)
