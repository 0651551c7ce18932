"""Look at, convert or check ConvNeXt weights: %(prog)s verify convnext_tiny.pth."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from convnext_dense.backbone.archs import ARCHS
from convnext_dense.checkpoints.layouts import TARGETS
from convnext_dense.cli.console.current import current_screen, show_facts
from convnext_dense.cli.errors import add_debug_option
from convnext_dense.cli.output import print_text
from convnext_dense.text import first_of
from convnext_dense.zoo.weights import WEIGHTS, find_weights

if TYPE_CHECKING:
    from convnext_dense.checkpoints.source import Source

TOLERANCE = 1e-5


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add ``inspect``, ``convert``, ``verify`` and ``list`` as subcommands."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("source", help="path, URL, or hub id such as timm/convnext_tiny.fb_in1k")
    shared.add_argument(
        "--prefix",
        help="take only what lies below it: names such as backbone, keys such as teacher",
    )
    shared.add_argument("--ema", action="store_true", help="take the moving averages")
    shared.add_argument(
        "--trust",
        action="store_true",
        help="unpickle anything the file holds: it can run any code",
    )
    add_debug_option(shared)

    commands = parser.add_subparsers(required=True, metavar="inspect|convert|verify|list")
    inspect = commands.add_parser("inspect", parents=[shared], help="print what a file holds")
    inspect.set_defaults(command=inspect_weights)
    convert = commands.add_parser("convert", parents=[shared], help="write another layout")
    convert.add_argument(
        "out",
        help="ends in .safetensors or .pth; a new folder for a whole model with a head of "
        "transformers, --to transformers",
    )
    convert.add_argument(
        "--to", choices=TARGETS, default="meta", help="default: meta, which is ours"
    )
    convert.add_argument("--overwrite", action="store_true", help="replace OUT where it exists")
    convert.set_defaults(command=convert_weights)
    verify = commands.add_parser(
        "verify", parents=[shared], help="compare features with the file's own network"
    )
    verify.set_defaults(command=verify_weights)
    names = commands.add_parser(
        "list", help="print the published weights that --weights takes by name, with licences"
    )
    names.add_argument("names", nargs="*", metavar="NAME", help="such as dinov3; default: all")
    names.add_argument(
        "--arch", choices=ARCHS, metavar="A", help=f"those of one of {', '.join(ARCHS)}"
    )
    add_debug_option(names)
    names.set_defaults(command=list_weights)


def inspect_weights(args: argparse.Namespace) -> None:
    """Print what a checkpoint contains.

    Raises:
        OSError: If it could not be loaded or downloaded.
        RuntimeError: If it is damaged, refused, or has no ConvNeXt.
    """
    from convnext_dense.checkpoints.arch_names import describe_arch
    from convnext_dense.checkpoints.find_convnext import find_convnext
    from convnext_dense.checkpoints.origin import licence_of, normalisation_of
    from convnext_dense.checkpoints.report import is_output_norm
    from convnext_dense.checkpoints.source import read_source
    from convnext_dense.checkpoints.unusable_values import find_unusable

    read = read_source(args.source, prefix=args.prefix, trust=args.trust, ema=args.ema)
    found = find_convnext(read.state, read.name)
    norms = [name for name in found.own if is_output_norm(name) and name.endswith("weight")]
    heads = Counter(name.partition(".")[0] for name in found.other_parameters("backbone."))
    mean, std = normalisation_of(read.name, (read.prefix or "", *read.state))
    dtypes = Counter(str(value.dtype).removeprefix("torch.") for value in read.state.values())
    rows = {
        "file": f"{read.name}{_size(args.source)}",
        "sha256": read.checksum,
        "model": _class_of_transformers(args.source),
        "layout": found.layout.name
        + (f", under {read.key!r}" if read.key else "")
        + (f", prefix {found.prefix!r}" if found.prefix else ""),
        "also holds": ", ".join(read.left),
        "architecture": describe_arch(found.arch).removeprefix("arch "),
        "parameters": f"{_millions(found.own)} in the backbone, "
        + ", ".join(f"{count} tensors {dtype}" for dtype, count in dtypes.items()),
        "kind": f"whole model: {', '.join(f'{part} ({n})' for part, n in heads.items())}"
        if heads
        else "backbone" + (" with classifier" if "head.weight" in found.own else ""),
        "output norms": ", ".join(norms) or "none",
        "classes": _classes(read),
        "unused": first_of(list(found.unused)),
        "unknown": first_of(list(found.unknown)),
        "unlike ours": found.obstacle,
        "unusable": first_of([f"{n} {fault}" for n, fault in find_unusable(found.own).items()]),
        "licence": licence_of(read.name, found.arch.grn),
        "images": f"RGB, mean {mean}, std {std}",
    }
    show_facts({title: text for title, text in rows.items() if text})


def convert_weights(args: argparse.Namespace) -> None:
    """Write a checkpoint in another layout; see :func:`convnext_dense.checkpoints.convert.convert`.

    A folder of transformers is made by
    :func:`convnext_dense.export.transformers_folder.write_transformers_folder`.
    """
    if args.to == "transformers" and not Path(args.out).suffix:
        from convnext_dense.export.transformers_folder import write_transformers_folder

        reader = write_transformers_folder(args.source, args.out)
        print_text(f"{args.out}: transformers' {reader}.from_pretrained reads it")
        return
    from convnext_dense.checkpoints.convert import convert

    conversion = convert(
        args.source,
        args.out,
        args.to,
        prefix=args.prefix,
        ema=args.ema,
        trust=args.trust,
        overwrite=args.overwrite,
    )
    print_text(f"{args.out}: {conversion}")


def verify_weights(args: argparse.Namespace) -> None:
    """Print, stage by stage, how much our features differ from those of the file's own network.

    Raises:
        OSError: If the file could not be loaded or downloaded.
        RuntimeError: If it is damaged, refused or incomplete, or the features differ.
    """
    from convnext_dense.checkpoints.verify import verify
    from convnext_dense.evaluation.tables import plain_table

    checks = verify(args.source, prefix=args.prefix, ema=args.ema, trust=args.trust)
    rows = [[check.name, str(check.shape), f"{check.error:.1e}"] for check in checks]
    titles = ["output", "shape", "relative error"]
    print_text(plain_table(titles, rows, current_screen().width), lines=True, end="")
    # Written so that NaN counts as wrong.
    if wrong := [check for check in checks if not check.error <= TOLERANCE]:
        raise RuntimeError(
            f"{args.source}: the features of {wrong[0].name} have a relative error of "
            f"{wrong[0].error:.1e}"
        )
    print_text(f"equal within a relative error of {TOLERANCE:g}")


def list_weights(args: argparse.Namespace) -> None:
    """Print the published weights by name, with what they were trained on and their licences.

    Raises:
        ValueError: If there are no weights of a name, or none for the arch.
    """
    names = args.names or [n for n in WEIGHTS if not args.arch or args.arch in WEIGHTS[n]]
    for name in names:
        if args.arch or name not in WEIGHTS:
            files = {args.arch: find_weights(args.arch, name)}
        else:
            files = WEIGHTS[name]
        print_text(name)
        for arch, file in files.items():
            figure = f"top-1 {file.top1} at {file.tested} px" if file.top1 else "no top-1"
            figure += f" ({file.remark})" if file.remark else ""
            print_text(f"  {arch:<9}{file.data}, {file.size} px; {figure}")
            print_text(f"  {'':<9}{file.source}")
            print_text(f"  {'':<9}{file.licence}")


def _class_of_transformers(source: str) -> str:
    from convnext_dense.checkpoints.hub_folder import hub_folder, told_class

    folder = hub_folder(Path(source).expanduser())
    name = told_class(folder) if folder else None
    return f"transformers' {name}" if name else ""


def _size(source: str) -> str:
    path = Path(source)
    return f" ({path.stat().st_size / 1e6:.1f} MB)" if path.is_file() else ""


def _millions(own: dict) -> str:
    backbone = (v.numel() for n, v in own.items() if not n.startswith(("head.", "norm.")))
    return f"{sum(backbone) / 1e6:.2f}M"


def _classes(read: Source) -> str:
    from convnext_dense.checkpoints.containers import trained_classes

    classes = trained_classes(read.meta)
    return f"{len(classes)}: {first_of(classes)}" if classes else ""
