"""Examine this machine: what is in order, what is wrong, and what it will reach.

%(prog)s                            a minute
%(prog)s --full --json found.json   some minutes, with real sizes and speeds on each GPU
"""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections import Counter
from typing import TYPE_CHECKING

from convnext_dense.cli.actions import add_number
from convnext_dense.cli.errors import add_debug_option
from convnext_dense.cli.flags import with_flags
from convnext_dense.cli.output import print_text
from convnext_dense.files import ensure_writable, write_whole
from convnext_dense.limits import check_parallel

if TYPE_CHECKING:
    from convnext_dense.doctor.finding import Finding

# Wide enough for every verdict.
_MARGIN = 10


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``doctor``."""
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--quick", action="store_true", help="within a minute; the default")
    length.add_argument(
        "--full", action="store_true", help="real sizes and speeds too, within eight minutes"
    )
    parser.add_argument(
        "--recipe",
        metavar="R",
        help="a recipe whose speed is measured at full size on a GPU, with --full; default: "
        "mask_rcnn_convnext_t_coco",
    )
    parser.add_argument(
        "--work-dir", metavar="D", default="work_dirs", help="where runs will write; %(default)s"
    )
    add_number(parser, "--workers", "data loading processes; %(default)s", least=0, default=2)
    parser.add_argument("--json", metavar="FILE", help="write all findings and figures")
    parser.add_argument(
        "--rows", action="store_true", help="print the rows for docs/benchmarks.md at the end"
    )
    parser.add_argument(
        "--apply",
        action="store_true",
        help="switch off, on this machine, the kernels that were found wrong or slow",
    )
    add_debug_option(parser)
    parser.set_defaults(command=doctor_command)


def doctor_command(args: argparse.Namespace) -> None:
    """Examine this machine, and print a line for each finding as soon as it is known.

    Raises:
        SystemExit: With status 1, if something is wrong.
        ValueError: If a flag's value is out of range, or there is no such recipe.
    """
    if args.recipe and not args.full:
        raise ValueError("--recipe needs --full: a quick examination measures no recipe")
    if args.workers:
        check_parallel("--workers", args.workers)
    if args.json:
        ensure_writable(args.json)
    from convnext_dense.doctor.examine import as_json, examine, switch_off
    from convnext_dense.doctor.finding import Examination, Verdict

    findings: list[Finding] = []
    try:
        for finding in examine(
            args.work_dir,
            full=args.full,
            recipe=args.recipe or Examination.recipe,
            workers=args.workers,
        ):
            findings.append(finding)
            print_finding(finding)
    finally:  # what was found until an interrupt is of use as well
        if args.json:
            write_whole(args.json, as_json(findings))
    counts = Counter(finding.verdict.value for finding in findings)
    print_text(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    if args.apply:
        off = switch_off(findings)
        print_text(f"switched off: {', '.join(off)}" if off else "no kernel is switched off")
    if args.rows:
        print_rows(findings)
    if any(finding.verdict is Verdict.WRONG for finding in findings):
        raise SystemExit(1)


def print_finding(finding: Finding) -> None:
    """Print a finding, folded at the terminal's width, with the way out below."""
    width = max(shutil.get_terminal_size().columns, 40)
    text = f"{finding.verdict.value:{_MARGIN}}{finding.name}"
    if finding.detail:
        text += f": {finding.detail}"
    lines = _folded(text, width)
    if finding.remedy:
        lines += _folded(f"{'':{_MARGIN}}way out: {with_flags(finding.remedy)}", width)
    print_text(with_flags("\n".join(lines)), lines=True)


def print_rows(findings: list[Finding]) -> None:
    """Print what belongs into docs/benchmarks.md: the machine, the command and the rows."""
    from convnext_dense.cli.program import called
    from convnext_dense.doctor.speed import ROWS_HEAD, machine_line

    rows = [str(f.figures["row"]) for f in findings if "row" in f.figures]
    if not rows:
        print_text("no rows: they need a GPU, timm or transformers, and --full")
        return
    text = [machine_line(), "", "```bash", f"{called('doctor')} --full --rows", "```", ""]
    print_text("\n".join([*text, *ROWS_HEAD, *rows]), lines=True)


def _folded(text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, width, subsequent_indent=" " * _MARGIN, drop_whitespace=True, break_long_words=True
    ) or [text]
