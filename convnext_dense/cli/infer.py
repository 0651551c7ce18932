"""What tools/infer.py does: a model on pictures, and what it finds in files."""

from __future__ import annotations

import argparse
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from convnext_dense.cli.flags import speak_as, with_flags
from convnext_dense.cli.options import (
    add_backbone_options,
    add_config_options,
    add_image_size_option,
    note,
    run_options,
)
from convnext_dense.cli.output import say
from convnext_dense.files import ensure_folder
from convnext_dense.inference.inputs import find_pictures
from convnext_dense.inference.results import Unreadable
from convnext_dense.inference.saving import KINDS, Saver
from convnext_dense.text import printable

# Results that may wait to be written.
WAITING = 3


def add_infer_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of tools/infer.py."""
    speak_as("infer")
    parser.add_argument("config", help="a config file, such as training left in its work directory")
    parser.add_argument("checkpoint", help="path or URL of a model, or published")
    parser.add_argument("inputs", nargs="+", metavar="input", help="file, folder, glob or URL")
    parser.add_argument(
        "-o", "--out", metavar="D", default="predictions", help="default: %(default)s"
    )
    parser.add_argument(
        "--score", type=float, default=0.3, metavar="S", help="leave out objects not above it; 0.3"
    )
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="pictures per pass; 1")
    parser.add_argument("--device", metavar="D", help="such as cpu or cuda:1; default: CUDA if any")
    parser.add_argument(
        "--save", default="pictures", metavar="A,B", help=f"of {', '.join(KINDS)}; pictures"
    )
    parser.add_argument(
        "--classes", metavar="A,B,C", help="as in training, where the config lacks them"
    )
    add_image_size_option(parser)
    parser.add_argument(
        "--box-only", action="store_true", help="the model was trained without masks"
    )
    add_backbone_options(parser)
    add_config_options(parser)


def infer(args: argparse.Namespace) -> None:
    """Run a model on pictures and keep what it finds.

    Raises:
        FileNotFoundError: Where config, checkpoint or an input are missing.
        ValueError: Where a flag makes no sense, or the model has no masks to save.
        RuntimeError: Where the checkpoint is not of this model, or, when all others are done, where
            pictures could not be read or run.
        OSError: Where a result cannot be written; those before are whole.
    """
    # mmengine's, of boxes that end where the picture does.
    warnings.filterwarnings("ignore", message=".* out of bounds", category=UserWarning)
    kinds = _kinds(args.save)
    pictures = find_pictures(args.inputs, leave_out=[Path(args.out) / kind for kind in KINDS])
    ensure_folder(args.out)

    from convnext_dense.config.plan import USE, plan_run
    from convnext_dense.inference.predictor import Predictor
    from convnext_dense.inference.threads import map_in_threads

    cfg = plan_run(run_options(args), USE, note).config
    predictor = Predictor(
        cfg, args.checkpoint, args.device, batch_size=args.batch, score=args.score
    )
    saver = Saver(args.out, kinds, predictor.classes, predictor.meta["palette"])
    console = Console(stderr=True)
    unread = []

    def keep(named: tuple) -> tuple:
        name, seen = named
        if not isinstance(seen.result, Unreadable):
            saver.save(name, seen)
        return named

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    progress = Progress(*columns, TimeRemainingColumn(), console=console)
    with progress, ThreadPoolExecutor(1, thread_name_prefix="write") as writer:
        task = progress.add_task("Pictures", total=len(pictures))
        seen = predictor.stream(list(pictures.values()))
        for _, one in map_in_threads(writer, keep, zip(pictures, seen, strict=True), WAITING):
            if isinstance(one.result, Unreadable):
                unread.append(str(one.source))
                console.print(Text(printable(f"skipped: {with_flags(one.result.reason)}")))
            progress.advance(task)
    done = len(pictures) - len(unread)
    say(f"{done} of {len(pictures)} pictures: {', '.join(kinds)} in {args.out}")
    if unread:
        shown = ", ".join(unread[:3]) + (", ..." if len(unread) > 3 else "")
        raise RuntimeError(f"{len(unread)} of {len(pictures)} pictures could not be used: {shown}")


def _kinds(text: str) -> tuple[str, ...]:
    kinds = tuple(kind.strip() for kind in text.split(","))
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ValueError(f"--save {text}: there is no {unknown[0]!r}, choose of {', '.join(KINDS)}")
    return kinds
