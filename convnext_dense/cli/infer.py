"""Run a model on pictures, and draw or keep what it finds.

%(prog)s work_dirs/shapes/config.py work_dirs/shapes/epoch_36.pth photos/ 'more/*.jpg' \\
    -o predictions --save pictures,json
%(prog)s model.onnx photos/
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convnext_dense.cli.console.current import counting, show_facts, show_note
from convnext_dense.cli.options import (
    add_backbone_options,
    add_config_options,
    add_device_option,
    add_image_size_option,
    run_options,
)
from convnext_dense.cli.output import print_text
from convnext_dense.files import ensure_folder
from convnext_dense.inference.inputs import find_pictures
from convnext_dense.inference.saving import KINDS, Saver
from convnext_dense.text import listed
from convnext_dense_runtime.model_file import is_model_file
from convnext_dense_runtime.results import Unreadable

if TYPE_CHECKING:
    from convnext_dense.inference.exported import ExportedPredictor
    from convnext_dense.inference.predictor import Predictor

# Most results that may wait to be written.
WAITING = 3


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``infer``."""
    parser.add_argument(
        "config",
        help="a recipe, or a config file such as that in a training's work directory; or a model "
        "that export wrote, .onnx or .xml, which needs no config",
    )
    parser.add_argument(
        "checkpoint",
        action=CheckpointAction,
        help="path or URL of a model, or published, or openmmlab; not after an exported model",
    )
    parser.add_argument("inputs", nargs="+", metavar="input", help="file, folder, glob or URL")
    parser.add_argument(
        "-o", "--out", metavar="D", default="predictions", help="default: %(default)s"
    )
    parser.add_argument(
        "--score", type=float, default=0.3, metavar="S", help="leave out objects not above it; 0.3"
    )
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="pictures per pass; 1")
    add_device_option(parser)
    parser.add_argument(
        "--save", default="pictures", metavar="A,B", help=f"some of {', '.join(KINDS)}; pictures"
    )
    parser.add_argument("--classes", metavar="A,B,C", help="as in training, if the config has none")
    add_image_size_option(parser)
    parser.add_argument(
        "--box-only", action="store_true", help="the model was trained without masks"
    )
    add_backbone_options(parser)
    add_config_options(parser)
    parser.set_defaults(command=infer_command)


class CheckpointAction(argparse.Action):
    """Store the checkpoint; after an exported model it is the first input."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,  # noqa: ANN401  argparse's
        option_string: str | None = None,
    ) -> None:
        """Store the argument, and ask for no further one after an exported model."""
        setattr(namespace, self.dest, values)
        if is_model_file(namespace.config):
            (inputs,) = [action for action in parser._actions if action.dest == "inputs"]
            inputs.required = False


def infer_command(args: argparse.Namespace) -> None:
    """Run a model on pictures and save what it finds.

    Raises:
        FileNotFoundError: If the config, the checkpoint or an input is missing.
        ValueError: If a flag's value is wrong, or the model has no masks to save.
        RuntimeError: If the checkpoint is not of this model, or, after all other pictures are done,
            if some could not be read or run.
        OSError: If a result could not be written; the results before it are whole.
    """
    kinds = _kinds(args.save)
    exported = is_model_file(args.config)
    inputs = [args.checkpoint, *(args.inputs or [])] if exported else args.inputs
    if not exported and is_model_file(args.checkpoint):
        raise ValueError(
            f"{args.checkpoint} is an exported model: it needs no {args.config} before it"
        )
    pictures = find_pictures(inputs, leave_out=[Path(args.out) / kind for kind in KINDS])

    from convnext_dense_runtime.threads import map_in_threads

    predictor, palette = (_open_exported if exported else _open_checkpoint)(args)
    ensure_folder(args.out)
    saver = Saver(args.out, kinds, predictor.classes, palette)
    unread = []

    def save(named: tuple) -> tuple:
        name, prediction = named
        if not isinstance(prediction.result, Unreadable):
            saver.save(name, prediction)
        return named

    with counting("pictures") as count, ThreadPoolExecutor(1, thread_name_prefix="write") as writer:
        named = zip(pictures, predictor.stream(list(pictures.values())), strict=True)
        for done, (_, one) in enumerate(map_in_threads(writer, save, named, WAITING), 1):
            if isinstance(one.result, Unreadable):
                unread.append(str(one.source))
                print_text(f"skipped: {one.result.reason}", error=True)
            count(done, len(pictures))
    used = len(pictures) - len(unread)
    show_facts({"done": f"{used} of {len(pictures)} pictures: {', '.join(kinds)} in {args.out}"})
    if unread:
        raise RuntimeError(
            f"{len(unread)} of {len(pictures)} pictures could not be used: {listed(unread, 3)}"
        )


def _open_checkpoint(args: argparse.Namespace) -> tuple[Predictor, list | None]:
    """Return the predictor of a checkpoint, and the colours of its classes."""
    from convnext_dense.config.plan import USE, plan_run
    from convnext_dense.inference.predictor import Predictor
    from convnext_dense.training.opening import describe_plan

    plan = plan_run(run_options(args), USE)
    show_facts({**describe_plan(plan), "weights": args.checkpoint})
    for note in plan.notes:
        show_note(note)
    predictor = Predictor(
        plan.config, args.checkpoint, args.device, batch_size=args.batch, score=args.score
    )
    return predictor, predictor.meta["palette"]


def _open_exported(args: argparse.Namespace) -> tuple[ExportedPredictor, list | None]:
    """Return the predictor of an exported model, and the colours of its classes."""
    from convnext_dense.inference.exported import ExportedPredictor, refuse_options

    refuse_options(run_options(args))
    model = ExportedPredictor(args.config, args.device, batch_size=args.batch, score=args.score)
    facts = model.metadata
    show_facts({"model": facts.model, "weights": args.config, "device": model.runs_on})
    return model, list(facts.palette) or None


def _kinds(text: str) -> tuple[str, ...]:
    kinds = tuple(kind.strip() for kind in text.split(","))
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ValueError(
            f"--save {text}: there is no {unknown[0]!r}, choose from {', '.join(KINDS)}"
        )
    return kinds
