"""Write one page about one run or several side by side, to open in a browser.

%(prog)s work_dirs/shapes
%(prog)s work_dirs/tiny work_dirs/small -o tiny_and_small.html
"""

from __future__ import annotations

import argparse
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from convnext_dense.cli.actions import add_number
from convnext_dense.cli.console.current import counting, show_note
from convnext_dense.cli.errors import add_debug_option
from convnext_dense.cli.flags import with_flags
from convnext_dense.cli.options import add_device_option
from convnext_dense.cli.output import print_text
from convnext_dense.cli.program import called, words_of
from convnext_dense.files import ensure_writable, write_whole
from convnext_dense.text import many

if TYPE_CHECKING:
    from convnext_dense.report.page import RunView
    from convnext_dense.report.run import Run
    from convnext_dense.report.validation import ReportOptions


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``report``."""
    parser.add_argument(
        "work_dirs", nargs="+", metavar="work_dir", help="the work directory of a run"
    )
    parser.add_argument(
        "-o", "--out", default="report.html", metavar="FILE", help="default: %(default)s"
    )
    add_number(
        parser,
        "--pictures-from",
        f"if there are no predictions of {called('test')} --out in the work directory, "
        "predict this many validation images, evenly spaced; default: %(default)s",
        least=1,
        default=100,
    )
    parser.add_argument(
        "--no-predict", action="store_true", help="show only predictions that are in a file already"
    )
    add_device_option(parser)
    parser.add_argument(
        "--data-root", metavar="D", help="folder of the data set, if it is not the config's"
    )
    parser.add_argument(
        "--trust",
        action="store_true",
        help="run the config and import its modules, which can run any code",
    )
    add_debug_option(parser)
    parser.set_defaults(command=report_command)


def report_command(args: argparse.Namespace) -> None:
    """Write the page.

    Raises:
        FileNotFoundError: If a work directory or the folder of the page is missing, or a work
            directory has no run.
        ValueError: If a flag's value is wrong.
        RuntimeError: If there is no such device.
        OSError: If the page could not be written; an earlier one stays as it was.
    """
    from convnext_dense.inference.model import choose_device
    from convnext_dense.report.missing_parts import MissingPart
    from convnext_dense.report.page import build_views, render_page
    from convnext_dense.report.run import read_runs
    from convnext_dense.report.validation import ReportOptions

    out = Path(args.out)
    if not out.parent.is_dir():
        raise FileNotFoundError(f"-o {args.out}: there is no folder {out.parent}")
    if out.is_dir():
        raise IsADirectoryError(f"-o {args.out} is a folder: name a file in it")
    ensure_writable(out)
    choose_device(args.device)
    runs = read_runs(args.work_dirs)
    options = ReportOptions(
        args.pictures_from, not args.no_predict, args.device, args.data_root, args.trust
    )
    with counting("pictures") as count:
        views = build_views(runs, options, lambda _, done, total: count(done, total))
    views = [_with_commands(view, options) for view in views]
    write_whole(out, render_page(views, with_flags))
    for view in views:
        if isinstance(view.validation, MissingPart):
            show_note(f"{view.run.name} has no pictures: {view.validation.why}")
    print_text(f"{many(len(runs), 'run')}: {out}")


def _with_commands(view: RunView, options: ReportOptions) -> RunView:
    """Add the commands that would give pictures to a page without them."""
    from convnext_dense.report.missing_parts import MissingPart

    if not isinstance(view.validation, MissingPart):
        return view
    return replace(view, validation=MissingPart(view.validation.why, _commands(view.run, options)))


def _commands(run: Run, options: ReportOptions) -> list[str]:
    """Return the command lines that would make predictions."""
    folder = str(run.folder)
    if not options.predict:
        return [shlex.join([*words_of("report"), folder])]
    config = str(run.config_file or "CONFIG")
    checkpoint = str(run.checkpoint or "CHECKPOINT")
    is_segmenter = (run.config or {}).get("default_scope") == "mmseg"
    out = f"{folder}/{'predictions' if is_segmenter else 'results.json'}"
    test = [*words_of("test"), config, checkpoint, "--work-dir", folder, "--out", out]
    elsewhere = [*words_of("report"), folder, "--data-root", "FOLDER"]
    return [shlex.join(test), shlex.join(elsewhere)]
