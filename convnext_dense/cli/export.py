"""Write a trained model as ONNX, verified against PyTorch, or print what such a file says.

%(prog)s work_dirs/shapes/config.py work_dirs/shapes/epoch_36.pth -o model.onnx
%(prog)s inspect model.onnx
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from convnext_dense.cli.console.current import show_facts, show_note
from convnext_dense.cli.errors import add_debug_option
from convnext_dense.cli.flags import use_flags_of

if TYPE_CHECKING:
    from convnext_dense_runtime.metadata import Metadata

INSPECT = "inspect"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``export``."""
    use_flags_of("export")
    parser.add_argument(
        "config", help="a recipe, or the config in a training's work directory; or inspect"
    )
    parser.add_argument(
        "checkpoint", help="path or URL of a model, or published, or openmmlab; after inspect: F"
    )
    parser.add_argument("-o", "--out", metavar="F", help="the file to write, such as model.onnx")
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
        from convnext_dense_runtime.model_file import read_metadata

        show_facts(facts(read_metadata(args.checkpoint)))
        return
    if args.out is None:
        raise ValueError("--out is missing: name the file to write, such as -o model.onnx")
    size = parse_size(args.size)
    from convnext_dense.export.run import export
    from convnext_dense.inference.inputs import find_pictures

    pictures = list(find_pictures(args.verify).values())
    metadata = export(
        args.config, args.checkpoint, args.out, size=size, verify=pictures, tell=show_note
    )
    show_facts({"written": args.out, **facts(metadata)})


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
        "sliding window": "{} x {}, stride {} x {}".format(*metadata.sliding)
        if metadata.sliding
        else "",
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
