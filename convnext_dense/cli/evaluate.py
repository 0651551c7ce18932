"""Evaluate result files without a model.

%(prog)s coco results.json annotations/instances_val2017.json --per-class
%(prog)s ade20k predictions/ ade/annotations/validation/ --reduce-zero-label
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from convnext_dense.cli.console.current import counting, current_screen, show_facts, show_note
from convnext_dense.cli.errors import add_debug_option
from convnext_dense.cli.output import print_text
from convnext_dense.config.data.classes import parse_classes
from convnext_dense.data.rules import Findings
from convnext_dense.data.rules.categories import nearest
from convnext_dense.data.rules.findings import WARNING
from convnext_dense.evaluation.coco import BACKENDS, choose_backend, evaluate_coco
from convnext_dense.evaluation.coco_input import (
    TYPES,
    check_type,
    read_results,
    read_truth,
    types_of,
)
from convnext_dense.evaluation.figures import Figures, write_figures
from convnext_dense.evaluation.tables import per_class_table, summary_table

if TYPE_CHECKING:
    from convnext_dense.data.rules.field_kinds import Id


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the two benchmarks as subcommands."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--per-class", action="store_true", help="print a row per class too")
    shared.add_argument("--classes", metavar="A,B,C", help="class names, see docs/evaluate.md")
    shared.add_argument("-o", "--out", metavar="D", help="write metrics.json and per_class.csv")
    add_debug_option(shared)
    benchmarks = parser.add_subparsers(required=True, metavar="coco|ade20k")

    coco = benchmarks.add_parser(
        "coco", parents=[shared], help="boxes and masks", description=evaluate_coco_files.__doc__
    )
    coco.add_argument("results", help="a JSON file in COCO's result format")
    coco.add_argument("annotations", help="a JSON file in COCO's annotation format")
    coco.add_argument("--type", choices=TYPES, help="default: all that both files have")
    coco.add_argument("--backend", choices=BACKENDS, help="default: the fastest installed")
    coco.set_defaults(command=evaluate_coco_files)

    ade = benchmarks.add_parser(
        "ade20k", parents=[shared], help="label maps", description=evaluate_folders.__doc__
    )
    ade.add_argument("pred_dir", help="folder of predicted PNGs")
    ade.add_argument("gt_dir", help="folder of true PNGs, at the same paths below it")
    ade.add_argument(
        "--reduce-zero-label",
        action="store_true",
        help="0 is unlabelled and classes begin at 1, in both folders, as in ADE20K",
    )
    ade.set_defaults(command=evaluate_folders)


def evaluate_coco_files(args: argparse.Namespace) -> None:
    """Print COCO's twelve figures of a result file."""
    backend = choose_backend(args.backend)
    findings = Findings("")
    truth = read_truth(args.annotations, findings=findings)
    for finding in findings.of_level(WARNING):
        show_note(finding.sentence)
    results = read_results(args.results, truth, args.annotations)
    types = (args.type,) if args.type else types_of(results, truth, args.results, args.annotations)
    if not types:
        raise ValueError(
            f"{args.results} has only masks, but the annotations of {args.annotations} have none"
        )
    for name in types:
        check_type(name, results, truth, args.results, args.annotations)
    cat_ids = _cat_ids(truth, args.classes, args.annotations) if args.classes else None
    figures = evaluate_coco(results, truth, types, backend=backend, cat_ids=cat_ids)
    print_text(f"{len(results)} results, {len(truth['images'])} images, {backend}")
    _show(figures, args, benchmark="coco", backend=backend, images=len(truth["images"]))


def evaluate_folders(args: argparse.Namespace) -> None:
    """Print the mIoU, mAcc and aAcc of a folder of label maps, by mmseg's IoUMetric."""
    from mmseg.datasets import ADE20KDataset

    from convnext_dense.evaluation.label_maps import evaluate_label_maps
    from convnext_dense.evaluation.map_files import pair_label_maps

    classes = parse_classes(args.classes) if args.classes else ADE20KDataset.METAINFO["classes"]
    with counting("label maps") as count:
        figures = evaluate_label_maps(
            args.pred_dir,
            args.gt_dir,
            classes,
            reduce_zero_label=args.reduce_zero_label,
            progress=count,
        )
    images = len(pair_label_maps(Path(args.pred_dir), Path(args.gt_dir)))
    print_text(f"{images} label maps, {len(classes)} classes")
    _show(figures, args, benchmark="ade20k", images=images)


def _show(figures: Figures, args: argparse.Namespace, **about: object) -> None:
    width = current_screen().width
    if args.per_class:
        print_text(f"\n{per_class_table(figures, width)}", lines=True)
    print_text(f"\n{summary_table(figures, width)}", lines=True, end="")
    if args.out:
        written = write_figures(args.out, figures, **about)
        print_text()
        show_facts({"figures": " and ".join(map(str, written))})


def _cat_ids(truth: dict, classes: str, path: str) -> list[Id]:
    ids = {category["name"]: category["id"] for category in truth["categories"]}
    names = parse_classes(classes)
    absent = next((name for name in names if name not in ids), None)
    if absent is not None:
        near = nearest(absent, list(ids))
        raise ValueError(
            f"--classes: {path} has no category {absent!r}{near and f'; {near}'}; it has "
            f"{', '.join(ids)}"
        )
    return [ids[name] for name in names]
