"""Read COCO result and annotation files, and refuse those that cannot be evaluated.

pycocotools accepts many errors silently: it ignores results for an unknown category, sorts a score
that is not a number anywhere, finds no match for a mask of another size, and counts a match with
the annotation of id 0 as a miss.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from convnext_dense.data.rules import Findings, check_annotations, check_records, read_lists
from convnext_dense.data.rules.categories import check_names
from convnext_dense.data.rules.coco_file import announce_large_file
from convnext_dense.data.rules.field_kinds import is_box, is_id, is_number
from convnext_dense.data.rules.masks import Segmentations, check_masks
from convnext_dense.data.rules.run_lengths import counts_fill_masks, rle_problem
from convnext_dense.evaluation.map_files import first_few

TYPES = {"bbox": "bbox", "segm": "segmentation"}


def read_truth(path: str | Path, *, masks: bool = False, findings: Findings | None = None) -> dict:
    """Read a COCO annotation file, and check it by the same rules as training and testing.

    Args:
        path: The file.
        masks: Whether to check that segmentations can be drawn, if there are any.
        findings: Collects warnings; None drops them.

    Returns:
        Its content.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not whole, or breaks a rule.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no annotation file {path}")
    findings = Findings("") if findings is None else findings
    findings.source = str(path)
    with announce_large_file(str(path)):
        content = read_lists(str(path), "ANNOTATIONS")
        truth = check_records(findings, content, evaluated=True)
        check_names(findings, truth)
        check_annotations(findings, truth, evaluated=True, masks=masks)
    findings.raise_first()
    return truth


def read_results(
    path: str | Path, truth: dict, annotations: str | Path = "the annotations"
) -> list:
    """Read a COCO result file and compare it with the truth.

    Args:
        path: A JSON array of objects with ``image_id``, ``category_id``, ``score`` and ``bbox``,
            ``segmentation`` (RLE) or both.
        truth: From :func:`read_truth`.
        annotations: The truth's name in messages.

    Returns:
        The results.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not whole, or a result cannot be evaluated.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no result file {path}")
    try:
        results = json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"result file {path} is not whole JSON; writing it may have been interrupted: {error}"
        ) from error
    if not isinstance(results, list):
        hint = ""
        if isinstance(results, dict) and "images" in results:
            hint = "; it looks like annotations, which are the second argument"
        raise ValueError(
            f"result file {path} contains a JSON {type(results).__name__}, but COCO's results are "
            f"an array of objects{hint}"
        )
    check_results(results, truth, str(path), str(annotations))
    return results


def check_results(results: Sequence[dict], truth: dict, path: str, annotations: str) -> None:
    """Refuse results that would make pycocotools fail or silently miscount.

    Raises:
        ValueError: If there are any; the message has the file, the first one and their number.
    """

    def refuse(where: Callable[[dict], bool], wrong: str, show: Callable[[dict], object]) -> None:
        found = [(index, result) for index, result in enumerate(results) if where(result)]
        if found:
            index, first = found[0]
            raise ValueError(
                f"{path}: {len(found)} of {len(results)} results {wrong}; the first is number "
                f"{index} with {show(first)}"
            )

    def refuse_without(key: str) -> None:
        refuse(lambda r: key not in r, f"have no {key}", lambda r: f"keys {first_few(r)}")

    def refuse_unknown(key: str, kind: str) -> None:
        known = {entry["id"] for entry in truth[kind]}
        refuse(
            # JSON may have a list here, which a set cannot look up, or true, which equals 1.
            lambda r: not is_id(r[key]) or r[key] not in known,
            f"have an unknown {key}: it is not among the {len(known)} {kind} of {annotations} "
            f"({first_few(sorted(known, key=str))})",
            lambda r: f"{key} {r[key]!r}",
        )

    refuse(lambda r: not isinstance(r, dict), "are not objects", lambda r: repr(r)[:80])
    for key in ("image_id", "category_id", "score"):
        refuse_without(key)
    refuse_unknown("image_id", "images")
    refuse_unknown("category_id", "categories")
    refuse(
        lambda r: not is_number(r["score"]),
        "have a score that is not a finite number",
        lambda r: f"score {r['score']!r}, image_id {r['image_id']}",
    )
    refuse(
        lambda r: "bbox" not in r and "segmentation" not in r,
        "have neither bbox nor segmentation",
        lambda r: f"keys {first_few(r)}",
    )
    refuse(
        lambda r: "bbox" in r and not is_box(r["bbox"]),
        "have a bbox that is not [x, y, width, height] in pixels",
        lambda r: f"bbox {r['bbox']!r}, image_id {r['image_id']}",
    )
    refuse(
        lambda r: "segmentation" in r and not _is_rle(r["segmentation"]),
        "have a segmentation that is not a compressed RLE (size and counts, as from "
        "pycocotools.mask.encode)",
        lambda r: f"segmentation {repr(r['segmentation'])[:80]}, image_id {r['image_id']}",
    )
    sizes = {image["id"]: [image["height"], image["width"]] for image in truth["images"]}
    refuse(
        lambda r: "segmentation" in r and list(r["segmentation"]["size"]) != sizes[r["image_id"]],
        "have a mask of another size than their image",
        lambda r: (
            f"size {r['segmentation']['size']}, image_id {r['image_id']} of height and width "
            f"{sizes[r['image_id']]}"
        ),
    )
    masks = [result["segmentation"] for result in results if "segmentation" in result]
    # pycocotools would decode others beyond their size.
    fit = iter(
        counts_fill_masks(
            [mask["counts"] for mask in masks], [math.prod(mask["size"]) for mask in masks]
        )
    )
    refuse(
        lambda r: "segmentation" in r and not next(fit),
        "have a mask whose counts cannot be decoded or do not sum to height x width",
        lambda r: f"image_id {r['image_id']}",
    )


def types_of(
    results: Sequence[dict],
    truth: dict,
    path: str = "the results",
    annotations: str | Path = "the annotations",
) -> tuple[str, ...]:
    """Return the types that results and truth both have: ``bbox``, ``segm`` or both.

    Args:
        results: From :func:`read_results`.
        truth: From :func:`read_truth`.
        path: The results' name in messages.
        annotations: The truth's name in messages.

    Raises:
        ValueError: If only some of the results, or only some of the annotations, have a type.
    """
    counts = {name: sum(key in r for r in results) for name, key in TYPES.items()}
    if any(0 < count < len(results) for count in counts.values()):
        listed = ", ".join(f"{n} of {len(results)} have a {TYPES[t]}" for t, n in counts.items())
        raise ValueError(f"{path}: results are of different types, {listed}: `types` chooses one")
    types = tuple(name for name, count in counts.items() if count == len(results))
    lacking = [a["id"] for a in truth["annotations"] if not a.get("segmentation")]
    total = len(truth["annotations"])
    if "segm" in types and 0 < len(lacking) < total:
        raise ValueError(
            f"{annotations}: {len(lacking)} of {total} annotations have no segmentation, such as "
            f"{lacking[0]}, but the results have masks: `types=('bbox',)` evaluates only boxes"
        )
    return types if len(lacking) < total else tuple(name for name in types if name != "segm")


def check_type(
    iou_type: str,
    results: Sequence[dict],
    truth: dict,
    path: str,
    annotations: str | Path = "the annotations",
) -> None:
    """Refuse a type that some results or annotations do not have.

    Args:
        iou_type: ``bbox`` or ``segm``.
        results: From :func:`read_results`.
        truth: From :func:`read_truth`.
        path: The results' name in messages.
        annotations: The truth's name in messages.

    Raises:
        ValueError: If some lack the type, or a mask cannot be drawn; the message says how many.
    """
    key = TYPES[iou_type]
    lacking = [index for index, result in enumerate(results) if key not in result]
    if lacking:
        raise ValueError(
            f"{path}: {len(lacking)} of {len(results)} results have no {key}, which "
            f"`types={(iou_type,)}` needs; the first is number {lacking[0]}"
        )
    if iou_type != "segm":
        return
    without = [a["id"] for a in truth["annotations"] if not a.get(key)]
    if without:
        raise ValueError(
            f"{annotations}: {len(without)} of {len(truth['annotations'])} annotations have no "
            f"segmentation, which `types=('segm',)` needs: ids {first_few(without)}"
        )
    findings = Findings("", str(annotations))
    sizes = {image["id"]: (image["width"], image["height"]) for image in truth["images"]}
    check_masks(findings, truth["annotations"], Segmentations(truth["annotations"], sizes))
    findings.raise_first()


def _is_rle(value: object) -> bool:
    if not isinstance(value, dict) or rle_problem(value, None) is not None:
        return False
    return not isinstance(value["counts"], list)
