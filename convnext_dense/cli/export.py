"""Write a trained model as ONNX or OpenVINO, or print what such a file says.

The file is verified against PyTorch.

%(prog)s work_dirs/shapes/config.py work_dirs/shapes/epoch_36.pth -o model.onnx
%(prog)s inspect model.onnx
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from convnext_dense.cli.console.current import current_screen, show_facts, show_note
from convnext_dense.cli.errors import add_debug_option
from convnext_dense.cli.output import print_text

if TYPE_CHECKING:
    from convnext_dense.export.accuracy import Loss
    from convnext_dense_runtime.metadata import Metadata

INSPECT = "inspect"
# Flags that say what is written, and how.
WRITING = ("out", "format", "size", "verify", "int8", "accuracy")
# Written here once more, since reading flags must not import what the formats need.
NAMES = ("onnx", "openvino")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``export``."""
    parser.add_argument(
        "config", help="a recipe, or the config in a training's work directory; or inspect"
    )
    parser.add_argument(
        "checkpoint", help="path or URL of a model, or published, or openmmlab; after inspect: F"
    )
    parser.add_argument(
        "-o", "--out", metavar="F", help="the file to write: model.onnx, or model.xml for OpenVINO"
    )
    parser.add_argument(
        "--format", choices=NAMES, help="default: the one of the file's name, .onnx or .xml"
    )
    parser.add_argument(
        "--size", metavar="HxW", help="fix the input's height and width; default: any size"
    )
    parser.add_argument(
        "--verify",
        nargs="+",
        default=[],
        metavar="PICTURE",
        help="files, folders or globs to compare with PyTorch for, beside three generated pictures",
    )
    parser.add_argument(
        "--int8",
        metavar="PICTURES",
        help="let convolutions and linear layers compute in 8-bit integers, of ranges measured in "
        "this folder (or glob) of some dozens of training pictures",
    )
    parser.add_argument(
        "--accuracy",
        action="store_true",
        help="test the model on the config's test data before and after, and print the loss",
    )
    add_debug_option(parser)
    parser.set_defaults(command=export_command)


def export_command(args: argparse.Namespace) -> None:
    """Export a model, or print what an exported one says.

    Raises:
        FileNotFoundError: If the config, the checkpoint, the model or a picture is missing.
        ValueError: If a flag's value is wrong, or a part of the model cannot be exported.
        RuntimeError: If the checkpoint is not of this model, or the results differ from PyTorch's.
        OSError: If the file could not be written.
    """
    if args.config == INSPECT:
        given = [name for name in WRITING if getattr(args, name)]
        if given:
            raise ValueError(f"--{given[0]} has no meaning after inspect, which writes nothing")
        from convnext_dense_runtime.model_file import read_metadata

        show_facts(facts(read_metadata(args.checkpoint)))
        return
    if args.out is None:
        raise ValueError("--out is missing: name the file to write, such as -o model.onnx")
    size = parse_size(args.size)
    from convnext_dense.export.formats import FORMATS, choose_format
    from convnext_dense.export.run import export
    from convnext_dense.inference.inputs import find_pictures

    def found(given: list[str]) -> list[str]:
        return list(find_pictures(given).values())

    out = Path(args.out)
    losses: list[Loss] = []
    metadata = export(
        args.config,
        args.checkpoint,
        out,
        format=args.format,
        size=size,
        verify=found(args.verify),
        int8=found([args.int8]) if args.int8 else (),
        accuracy=args.accuracy,
        tell=show_note,
        show=losses.append,
    )
    files = FORMATS[choose_format(out, args.format)].files(out)
    sizes = (f"{file} ({file.stat().st_size / 1e6:.1f} MB)" for file in files)
    show_facts({"written": ", ".join(sizes), **facts(metadata)})
    for loss in losses:
        print_loss(loss)


def print_loss(loss: Loss) -> None:
    """Print the figures before and after an export."""
    from convnext_dense.evaluation.tables import difference_table

    table = difference_table(loss.before, loss.after, loss.titles, current_screen().width)
    print_text(f"\n{loss.images} images\n{table}", lines=True)


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Return (height, width) of a text such as 512x1024.

    Raises:
        ValueError: If it is not one.
    """
    if text is None:
        return None
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.isdecimal() and int(side) for side in sides):
        raise ValueError(f"--size {text}: write height and width, such as 512x1024")
    return int(sides[0]), int(sides[1])


def facts(metadata: Metadata) -> dict[str, str]:
    """Return what a model says about itself, as lines to print."""
    resize, pad, size = metadata.resize, metadata.pad, metadata.size
    rows = {
        "model": metadata.model,
        "task": metadata.task,
        "classes": f"{len(metadata.classes)}: {', '.join(metadata.classes)}",
        "palette": ", ".join("#{:02x}{:02x}{:02x}".format(*rgb) for rgb in metadata.palette),
        "channels": metadata.channels,
        "input": f"{size[0]} x {size[1]} (height x width)" if size else "any height and width",
        "at least": "{} x {}".format(*metadata.smallest),
        "resize": "none"
        if resize.scale is None
        else "{} x {} (width x height), ".format(*resize.scale)
        + ("ratio kept, " if resize.keep_ratio else "")
        + resize.interpolation,
        "filled up to": "{} x {}".format(*pad.size) + f" with {pad.value}" if pad else "",
        "padded to": f"multiples of {metadata.divisor}" if metadata.divisor > 1 else "",
        "window": "{} x {}, slid by {} x {}".format(*metadata.sliding) if metadata.sliding else "",
        "scores above": f"{metadata.score:g}" if metadata.task == "detection" else "",
        "masks": f"on the grid of each {metadata.masks}, threshold {metadata.mask_threshold:g}"
        if metadata.masks
        else "",
        "licence": metadata.licence or "not known",
        "source": metadata.source,
        "written by": ", ".join(f"{name} {one}" for name, one in metadata.versions.items()),
        "verification": ", ".join(f"{key} {one:.6g}" for key, one in metadata.verification.items()),
    }
    return {title: text for title, text in rows.items() if text}
