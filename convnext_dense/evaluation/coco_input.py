"""COCO result and annotation files, read and refused by name where they cannot be evaluated.

pycocotools counts much of what is wrong without a word: results for an unknown category vanish, a
score that is not a number sorts anywhere, masks of another size match nothing, a match with the
annotation of id 0 counts as a miss.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from convnext_dense.data.rules import Findings, check_annotations, check_records, read_lists
from convnext_dense.data.rules.categories import check_names
from convnext_dense.data.rules.coco_file import announce_large_file
from convnext_dense.data.rules.field_kinds import Id, is_box, is_id, is_number
from convnext_dense.data.rules.masks import Segmentations, check_masks
from convnext_dense.data.rules.run_lengths import counts_fill_masks, rle_problem

TYPES = {"bbox": "bbox", "segm": "segmentation"}
_SHOWN = 5


def read_truth(path: str | Path, *, masks: bool = False, findings: Findings | None = None) -> dict:
    """Read a COCO annotation file, by the rules that hold for training and testing.

    Args:
        path: The file.
        masks: Whether segmentations are drawn, where there are any.
        findings: Where to report what is worth a look; None leaves it out.

    Returns:
        Its content.

    Raises:
        FileNotFoundError: Where there is no such file.
        ValueError: Where it is not whole, or breaks a rule.
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
        truth: As :func:`read_truth` gives it.
        annotations: What to call the truth in messages.

    Returns:
        The results.

    Raises:
        FileNotFoundError: Where there is no such file.
        ValueError: Where the file is not whole or a result cannot be evaluated.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no result file {path}")
    try:
        results = json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"result file {path} is not whole JSON, as one is whose writing was cut short: {error}"
        ) from error
    if not isinstance(results, list):
        hint = ""
        if isinstance(results, dict) and "images" in results:
            hint = "; it looks like annotations, which come second"
        raise ValueError(
            f"result file {path} holds a JSON {type(results).__name__}, COCO's results are an "
            f"array of objects{hint}"
        )
    check_results(results, truth, str(path), str(annotations))
    return results


def check_results(results: Sequence[dict], truth: dict, path: str, annotations: str) -> None:
    """Refuse results that pycocotools would fail on or count without a word.

    Raises:
        ValueError: Naming the file, the first offenders and how many there are.
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
        refuse(lambda r: key not in r, f"have no {key}", lambda r: f"keys {_list(r)}")

    def refuse_unknown(key: str, kind: str) -> None:
        known = {entry["id"] for entry in truth[kind]}
        refuse(
            # JSON may hold a list there, which no set can look up, or true, which is equal to 1.
            lambda r: not is_id(r[key]) or r[key] not in known,
            f"have an unknown {key}: it is not among the {len(known)} {kind} of {annotations} "
            f"({_list(sorted(known, key=str))})",
            lambda r: f"{key} {r[key]!r}",
        )

    refuse(lambda r: not isinstance(r, dict), "are no objects", lambda r: repr(r)[:80])
    for key in ("image_id", "category_id", "score"):
        refuse_without(key)
    refuse_unknown("image_id", "images")
    refuse_unknown("category_id", "categories")
    refuse(
        lambda r: not is_number(r["score"]),
        "have a score that is no finite number",
        lambda r: f"score {r['score']!r}, image_id {r['image_id']}",
    )
    refuse(
        lambda r: "bbox" not in r and "segmentation" not in r,
        "have neither bbox nor segmentation",
        lambda r: f"keys {_list(r)}",
    )
    refuse(
        lambda r: "bbox" in r and not is_box(r["bbox"]),
        "have a bbox that is not [x, y, width, height] in pixels",
        lambda r: f"bbox {r['bbox']!r}, image_id {r['image_id']}",
    )
    refuse(
        lambda r: "segmentation" in r and not _is_rle(r["segmentation"]),
        "have a segmentation that is no compressed RLE (size and counts, as pycocotools.mask.encode"
        " gives it)",
        lambda r: f"segmentation {repr(r['segmentation'])[:80]}, image_id {r['image_id']}",
    )
    sizes = _image_sizes(truth)
    refuse(
        lambda r: "segmentation" in r and list(r["segmentation"]["size"]) != sizes[r["image_id"]],
        "have a mask of another size than their image",
        lambda r: (
            f"size {r['segmentation']['size']}, image_id {r['image_id']} of height and width "
            f"{sizes[r['image_id']]}"
        ),
    )
    _refuse_runs(results, path)


def _refuse_runs(results: Sequence[dict], path: str) -> None:
    """Refuse masks whose counts pycocotools would decode beyond their size."""
    masks = [(i, r["segmentation"]) for i, r in enumerate(results) if "segmentation" in r]
    whole = counts_fill_masks(
        [rle["counts"] for _, rle in masks], [rle["size"][0] * rle["size"][1] for _, rle in masks]
    )
    wrong = [index for (index, _), fits in zip(masks, whole, strict=True) if not fits]
    if wrong:
        raise ValueError(
            f"{path}: {len(wrong)} of {len(results)} results have a mask whose counts cannot be "
            f"decoded or do not sum to height x width; the first is number {wrong[0]} with "
            f"image_id {results[wrong[0]]['image_id']}"
        )


def types_of(
    results: Sequence[dict],
    truth: dict,
    path: str = "the results",
    annotations: str | Path = "the annotations",
) -> tuple[str, ...]:
    """Return the types that results and truth both have: ``bbox``, ``segm`` or both.

    Args:
        results: As :func:`read_results` gives them.
        truth: As :func:`read_truth` gives it.
        path: What to call the results in messages.
        annotations: What to call the truth.

    Raises:
        ValueError: Where only some of the results have one, or only some of the annotations.
    """
    counts = {name: sum(key in r for r in results) for name, key in TYPES.items()}
    if any(0 < count < len(results) for count in counts.values()):
        listed = ", ".join(f"{n} of {len(results)} have a {TYPES[t]}" for t, n in counts.items())
        raise ValueError(f"{path}: results lack what others have, {listed}: `types` chooses one")
    types = tuple(name for name, count in counts.items() if count == len(results))
    lacking = [a["id"] for a in truth["annotations"] if not a.get("segmentation")]
    total = len(truth["annotations"])
    if "segm" in types and 0 < len(lacking) < total:
        raise ValueError(
            f"{annotations}: annotation {lacking[0]} has no segmentation, as {len(lacking)} of "
            f"{total}; the results have masks: `types=('bbox',)` evaluates boxes alone"
        )
    return types if len(lacking) < total else tuple(name for name in types if name != "segm")


def check_type(
    iou_type: str,
    results: Sequence[dict],
    truth: dict,
    path: str,
    annotations: str | Path = "the annotations",
) -> None:
    """Refuse a type that not all results, or not all annotations, have.

    Args:
        iou_type: ``bbox`` or ``segm``.
        results: As :func:`read_results` gives them.
        truth: As :func:`read_truth` gives it.
        path: What to call the results in messages.
        annotations: What to call the truth.

    Raises:
        ValueError: Naming how many lack it, or a mask that cannot be drawn.
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
            f"segmentation, which `types=('segm',)` needs: ids {_list(without)}"
        )
    findings = Findings("", str(annotations))
    sizes = {image["id"]: (image["width"], image["height"]) for image in truth["images"]}
    check_masks(findings, truth["annotations"], Segmentations(truth["annotations"], sizes))
    findings.raise_first()


def _image_sizes(truth: dict) -> dict[Id, list[int]]:
    return {image["id"]: [image["height"], image["width"]] for image in truth["images"]}


def _is_rle(value: object) -> bool:
    if not isinstance(value, dict) or rle_problem(value, None) is not None:
        return False
    return not isinstance(value["counts"], list)


def _list(values: Iterable[object]) -> str:
    texts = list(dict.fromkeys(map(str, values)))
    return ", ".join(texts[:_SHOWN]) + (", ..." if len(texts) > _SHOWN else "")
