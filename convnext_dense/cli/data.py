"""Look at the data before hours are spent on it. The flags for data are those of training.

%(prog)s check configs/det/mask_rcnn_convnext_t_coco.py --data-root droplets \\
    --classes droplet --ann-train annotations/instances_train.json \\
    --ann-val annotations/instances_val.json
%(prog)s show configs/seg/upernet_convnext_t_ade20k.py -n 16 -o samples.png
%(prog)s convert my_yolo my_data --split 80/10/10
%(prog)s shapes data/shapes
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from convnext_dense.cli import convert, make_shapes
from convnext_dense.cli.actions import add_number
from convnext_dense.cli.console.current import current_screen, show_facts, show_note
from convnext_dense.cli.flags import with_flags
from convnext_dense.cli.help_text import LinesFormatter
from convnext_dense.cli.options import (
    add_backbone_option,
    add_config_argument,
    add_config_options,
    add_data_options,
    run_options,
)
from convnext_dense.cli.output import print_text
from convnext_dense.evaluation.tables import plain_table
from convnext_dense.files import ensure_writable, write_whole
from convnext_dense.limits import check_parallel
from convnext_dense.text import many, printable

if TYPE_CHECKING:
    from convnext_dense.data.audit import Audit, Finding
    from convnext_dense.data.formats.source import Source

# Columns of the table of findings if the output is a file: enough for most paths.
_WIDTH = 160
# Columns of a terminal that has no room for that table.
_NARROW = 72
# In one picture.
MOST_SAMPLES = 1024
SPLITS_SHOWN = ("train", "val")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add ``check``, ``show``, ``convert`` and ``shapes`` as subcommands."""
    commands = parser.add_subparsers(required=True, metavar="check|show|convert|shapes")
    check = _add(
        commands,
        "check",
        check_command,
        "count pictures and objects, and list everything that is wrong",
        "%(prog)s configs/det/mask_rcnn_convnext_t_coco.py --data-root droplets \\\n"
        "      --classes droplet --ann-train annotations/instances_train.json \\\n"
        "      --ann-val annotations/instances_val.json",
    )
    check.add_argument("--fast", action="store_true", help="read only the pictures' headers")
    add_number(check, "--workers", "processes, at most 4 per core; default: one per core", least=0)
    check.add_argument("--strict", action="store_true", help="fail on warnings too")
    add_number(check, "--max-examples", "per finding; %(default)s", least=0, default=3)
    check.add_argument("--json", metavar="FILE", help="write all counts and findings")
    add_data_options(check, batches=False)
    _add_shared_options(check)
    show = _add(
        commands,
        "show",
        show_command,
        "draw samples after augmentation, as the network gets them",
        "%(prog)s configs/seg/upernet_convnext_t_ade20k.py -n 9 -o samples.png",
    )
    add_number(show, "-n", "%(default)s", least=1, most=MOST_SAMPLES, dest="number", default=16)
    show.add_argument(
        "--split",
        choices=SPLITS_SHOWN,
        help=f"default: {SPLITS_SHOWN[0]}; of a folder in another tool's format, all",
    )
    show.add_argument("-o", "--out", metavar="PNG", help="default: samples.png in the work dir")
    show.add_argument("--seed", type=int, default=0, help="of choice and augmentation; %(default)s")
    show.add_argument("--work-dir", metavar="D", help="default: work_dirs/<name of the config>")
    add_data_options(show, batches=True)
    _add_shared_options(show)
    convert.add_options(
        commands.add_parser(
            "convert",
            help="make data of other formats into what the recipes train on",
            description=convert.__doc__,
            epilog=f"examples:\n  {convert.EXAMPLE}",
            formatter_class=LinesFormatter,
        )
    )
    shapes = commands.add_parser(
        "shapes", help="make the demo's data", description=make_shapes.__doc__
    )
    make_shapes.add_options(shapes)


def _add(
    commands: argparse._SubParsersAction, name: str, command: object, title: str, example: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=title,
        description=command.__doc__,
        epilog=f"example:\n  {example}",
        formatter_class=LinesFormatter,
    )
    add_config_argument(parser)
    parser.set_defaults(command=command)
    return parser


def _add_shared_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from",
        dest="format",
        metavar="FORMAT",
        help="of a folder in another tool's format; default: it is found",
    )
    add_backbone_option(parser)  # the package of the config's own backbone may be missing
    add_config_options(parser)


def check_command(args: argparse.Namespace) -> None:
    """Check the data of a config, or a folder of another tool's format as it is.

    It fails if training would fail or be wrong.
    """
    check_parallel("--workers", args.workers or 0)
    if args.json:
        ensure_writable(args.json)

    from convnext_dense.config.plan import USE, plan_run
    from convnext_dense.data.audit import audit_data, audit_source

    source = source_of(args)
    if source:
        audit = audit_source(source, fast=args.fast, workers=args.workers)
    else:
        cfg = plan_run(run_options(args), USE, show_note).config
        audit = audit_data(cfg, fast=args.fast, workers=args.workers)
    findings = [replace(found, what=with_flags(found.what)) for found in audit.findings]
    audit = replace(audit, findings=findings)
    if args.json:
        content = dict(config=args.config, fast=args.fast, **audit.as_dict())
        write_whole(args.json, json.dumps(content, indent=2) + "\n")
    print_counts(audit)
    print_findings(audit.findings, args.max_examples)
    if args.fast:
        print_text("--fast: only the headers of pictures and label maps were read")
    errors, warnings = audit.count("error"), audit.count("warning")
    summary = f"{many(errors, 'error')}, {many(warnings, 'warning')}"
    if errors:
        raise RuntimeError(f"{summary}: training would fail or be wrong")
    if warnings and args.strict:
        raise RuntimeError(f"{summary}, and --strict fails on them")
    print_text(summary)


def print_counts(audit: Audit) -> None:
    """Print a table of the classes for each data set."""
    for checked in audit.checked:
        print_text()
        print_text(f"{checked.where}: {many(checked.images, 'image')} found, {checked.source}")
        print_text()
        if checked.rows:
            rows = [[_cell(value) for value in row.values()] for row in checked.rows]
            table = plain_table(list(checked.rows[0]), rows, current_screen().width)
            print_text(table, lines=True, end="")


def print_findings(findings: list[Finding], examples: int) -> None:
    """Print a table of the findings, with a few examples of each."""
    if not findings:
        print_text("\nnothing found", lines=True)
        return
    screen = current_screen()
    if screen.width is not None and screen.width < _NARROW:
        for finding in findings:
            found = f"{finding.where}, {finding.count}: {finding.what}"
            lines = [found, *finding.places[:examples]]
            show_facts({finding.level: " ".join(lines)})
        return
    table = Table(box=box.SIMPLE)
    for title in ("level", "split"):
        table.add_column(title, no_wrap=True)
    table.add_column("how many", justify="right", no_wrap=True)
    table.add_column("what", overflow="fold", ratio=1)
    table.add_column("the first of them", overflow="fold", ratio=1)
    for finding in findings:
        shown = list(finding.places[:examples])
        if len(finding.places) > examples > 0:
            shown.append("...")
        cells = [finding.level, finding.where, str(finding.count), finding.what]
        places = "\n".join(map(printable, shown))
        table.add_row(*(Text(cell) for cell in [*map(printable, cells), places]))
    width = screen.width or _WIDTH
    Console(force_terminal=screen.is_terminal, width=width).print(table)


def show_command(args: argparse.Namespace) -> None:
    """Draw samples of a config's data into one picture, as the network gets them.

    Those of a folder in another tool's format are drawn as they are labelled.
    """
    from convnext_dense.config.plan import USE, plan_run
    from convnext_dense.report.samples import draw_samples
    from convnext_dense.report.source_samples import draw_source

    source = source_of(args)
    if source:
        out = Path(args.out or Path(args.work_dir or "work_dirs", "samples.png"))
        ensure_writable(out)
        png, drawn = draw_source(source, args.number, args.split, args.seed)
    else:
        cfg = plan_run(run_options(args), USE, show_note).config
        out = Path(args.out or Path(cfg.work_dir, "samples.png"))
        ensure_writable(out)
        split = args.split or SPLITS_SHOWN[0]
        png, drawn = draw_samples(cfg, number=args.number, split=split, seed=args.seed)
    write_whole(out, png)
    shown = args.split or ("all splits" if source else SPLITS_SHOWN[0])
    print_text(f"{many(drawn, 'sample')} of {shown} in {out}")


def source_of(args: argparse.Namespace) -> Source | None:
    """Open the data set that is given in the place of a config, or by ``--data-root``.

    Returns:
        None if a config is given, with data that it can read.
    """
    from convnext_dense.config.data.classes import parse_classes
    from convnext_dense.data.formats.advice import is_readable
    from convnext_dense.data.formats.detect import is_source, open_source

    root = args.config
    if not is_source(root):
        root, files = args.data_root, (args.ann_train, args.ann_val)
        if args.format and not root:
            raise ValueError(f"`format={args.format!r}` is for a folder, got {args.config}")
        if not root or any(files) or (is_readable(root) and not args.format):
            return None
    classes = args.classes and parse_classes(args.classes)
    source = open_source(root, args.format, classes=classes)
    show_facts({"source": f"{source.root} ({source.format}), read as it is"})
    return source


def _cell(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
