"""Make data of YOLO, VOC, LabelMe, CVAT, COCO or masks into what the recipes train on.

It gets splits, and is checked; its pictures are linked. An earlier result is added to.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from convnext_dense.cli.actions import add_number
from convnext_dense.cli.console import elements
from convnext_dense.cli.console.current import counting, current_screen, show_facts, show_note
from convnext_dense.cli.errors import add_debug_option
from convnext_dense.cli.flags import FLAGS, shown_as
from convnext_dense.cli.output import print_text
from convnext_dense.cli.program import words_of
from convnext_dense.config.data.classes import parse_classes
from convnext_dense.evaluation.tables import plain_table
from convnext_dense.text import many

if TYPE_CHECKING:
    from convnext_dense.data.convert.run import Converted
    from convnext_dense.data.convert.tally import Change

# The recipe of the command that is printed at the end, by the form of the result.
_RECIPES = {"instances": "mask_rcnn_convnext_t_coco", "label-maps": "upernet_convnext_t_ade20k"}
EXAMPLE = (
    "%(prog)s my_yolo my_data --split 80/10/10 --group-by '^(video\\d+)'\n"
    "  %(prog)s yolo/ coco/annotations/ my_data --rename Car=car --drop bus,truck"
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``data convert``."""
    parser.add_argument(
        "sources", metavar="SOURCE", nargs="+", help="a folder, or its file of labels"
    )
    parser.add_argument("out", metavar="OUT", help="folder of the result")
    parser.add_argument("--from", dest="format", metavar="FORMAT", help="default: it is found")
    parser.add_argument(
        "--classes", metavar="A,B,C", help="names of the classes, if the source has only numbers"
    )
    parser.add_argument(
        "--to", metavar="FORM", help="instances or label-maps; default: what the source has"
    )
    parser.add_argument(
        "--split",
        metavar="SHARES",
        help="of training, validation, test, such as 80/10/10; default: the source's own, or 80/20",
    )
    parser.add_argument(
        "--group-by",
        metavar="REGEX",
        help="pictures stay together where it matches the same in their names (its first group)",
    )
    add_number(parser, "--seed", "of the splits", metavar="N", least=0, default=0)
    parser.add_argument(
        "--rename",
        metavar="A=B",
        action="append",
        default=[],
        help="rename class A, or merge it into B; several with commas, or several times",
    )
    parser.add_argument(
        "--drop",
        metavar="C",
        action="append",
        default=[],
        help="leave a class out; several with commas, or several times",
    )
    parser.add_argument("--colours", metavar="FILE", help="a table of the colours of masks")
    parser.add_argument("--copy", action="store_true", help="copy the pictures, do not link them")
    add_debug_option(parser)
    parser.set_defaults(command=convert_command)


def convert_command(args: argparse.Namespace) -> None:
    """Convert, and print the counts and the command that trains on the result."""
    rename, drop = parse_renames(args.rename), parse_names(args.drop)
    classes = parse_classes(args.classes) if args.classes else None

    from convnext_dense.data.convert.run import convert
    from convnext_dense.data.formats.detect import open_source

    sources = [open_source(path, args.format, classes=classes) for path in args.sources]
    found = "" if args.format else ", found"
    for source in sources:
        show_facts({"source": f"{source.root} ({source.format}{found})"})
    converted = convert(
        sources,
        args.out,
        split=args.split,
        rename=rename,
        drop=drop,
        group_by=args.group_by,
        seed=args.seed,
        copy=args.copy,
        to=args.to,
        colours=args.colours,
        tell=show_note,
        watch=counting,
    )
    print_text()
    print_text(_counts_table(converted), lines=True)
    show_changes(converted.changes)
    show_facts(
        {
            "read": _pictures_and_objects(converted, converted.read),
            "written": f"{_pictures_and_objects(converted, converted.written)}, {converted.out}, "
            "checked",
        }
    )
    current_screen().show(elements.command(train_command(converted)))


def parse_names(given: Sequence[str]) -> list[str]:
    """Return names that were given with commas, or several times."""
    return [name.strip() for text in given for name in text.split(",") if name.strip()]


def parse_renames(given: Sequence[str]) -> dict[str, str]:
    """Return the new names by the old ones.

    Raises:
        ValueError: If one is not of the form A=B, or a class gets two names.
    """
    renames: dict[str, str] = {}
    for pair in parse_names(given):
        old, equals, new = (part.strip() for part in pair.partition("="))
        if not (old and equals and new):
            raise ValueError(f"--rename takes A=B, got {pair!r}")
        if renames.setdefault(old, new) != new:
            raise ValueError(f"--rename gives {old!r} two names, {renames[old]!r} and {new!r}")
    return renames


def show_changes(changes: Sequence[Change]) -> None:
    """Print what is not in the result, or is in another form, with the first places."""
    for change in changes:
        gone = [
            many(number, what)
            for number, what in ((change.pictures, "picture"), (change.objects, "object"))
            if number
        ]
        left_out = f" ({', '.join(gone)} left out)" if gone else ""
        places = ", ".join(place for place in change.places if place)
        examples = f": {places}{', ...' * (change.count > len(change.places))}" if places else ""
        title = "error" if change.is_error else "changed"
        show_facts({title: f"{change.count} x {change.what}{left_out}{examples}"})


def train_command(converted: Converted) -> str:
    """Return the command that trains on the result."""
    words = [*words_of("train"), _RECIPES[converted.form]]
    for name, value in converted.train_arguments.items():
        words.append(shown_as(FLAGS[name]))
        if value is not True:
            words.append(",".join(value) if isinstance(value, tuple) else str(value))
    return shlex.join([*words, shown_as(FLAGS["auto_scale_lr"])])


def _counts_table(converted: Converted) -> str:
    splits = list(converted.counts)
    what = "objects" if converted.form == "instances" else "pictures with it"
    rows = [
        [name, *(str(converted.counts[split][index]) for split in splits)]
        for index, name in enumerate(converted.classes)
    ]
    rows.append(["(pictures)", *(str(converted.pictures[split]) for split in splits)])
    return plain_table([f"class ({what})", *splits], rows, current_screen().width)


def _pictures_and_objects(converted: Converted, numbers: tuple[int, int]) -> str:
    pictures, objects = numbers
    text = many(pictures, "picture")
    return f"{text}, {many(objects, 'object')}" if converted.form == "instances" else text
