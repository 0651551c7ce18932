"""COCO result and annotation files, read and refused by name where they cannot be evaluated.

pycocotools counts much of what is wrong without a word: results for an unknown category vanish, a
score that is not a number sorts anywhere, masks of another size match nothing, a match with the
annotation of id 0 counts as a miss.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from numbers import Real
from pathlib import Path

from convnext_dense.data.check_coco import read_coco, require_fields

TYPES = {"bbox": "bbox", "segm": "segmentation"}
_SHOWN = 5


def read_truth(path: str | Path) -> dict:
    """Read a COCO annotation file.

    Returns:
        Its content.

    Raises:
        FileNotFoundError: Where there is no such file.
        ValueError: Where it is not whole, or its ids or values cannot be evaluated.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no annotation file {path}")
    truth = read_coco(str(path), "ANNOTATIONS")
    annotations = truth["annotations"]
    require_fields(str(path), "annotation", annotations, ("iscrowd",))
    for kind in ("images", "categories", "annotations"):
        counts = Counter(entry["id"] for entry in truth[kind])
        twice = [entry_id for entry_id, count in counts.items() if count > 1]
        if twice:
            raise ValueError(f"{path}: {len(twice)} ids of {kind} occur twice: {_list(twice)}")
    for key, kind in (("image_id", "images"), ("category_id", "categories")):
        known = {entry["id"] for entry in truth[kind]}
        unknown = [a for a in annotations if a[key] not in known]
        if unknown:
            raise ValueError(
                f"{path}: {len(unknown)} annotations have an unknown {key}, not among its {kind}: "
                f"{_list(a[key] for a in unknown)}"
            )
    bad = [a["id"] for a in annotations if not (_is_box(a["bbox"]) and _is_number(a["area"]))]
    if bad:
        raise ValueError(
            f"{path}: {len(bad)} annotations have a bbox or area that is no number, ids "
            f"{_list(bad)}"
        )
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
    except ValueError as error:
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

    refuse(lambda r: not isinstance(r, dict), "are no objects", lambda r: repr(r)[:80])
    for key in ("image_id", "category_id", "score"):
        refuse(lambda r, key=key: key not in r, f"have no {key}", lambda r: f"keys {_list(r)}")
    for key, kind in (("image_id", "images"), ("category_id", "categories")):
        known = {entry["id"] for entry in truth[kind]}
        refuse(
            # JSON may hold a list there, which no set can look up.
            lambda r, key=key, known=known: isinstance(r[key], list | dict) or r[key] not in known,
            f"have an unknown {key}: it is not among the {len(known)} {kind} of {annotations} "
            f"({_list(sorted(known, key=str))})",
            lambda r, key=key: f"{key} {r[key]!r}",
        )
    refuse(
        lambda r: not _is_number(r["score"]),
        "have a score that is no finite number",
        lambda r: f"score {r['score']!r}, image_id {r['image_id']}",
    )
    refuse(
        lambda r: "bbox" not in r and "segmentation" not in r,
        "have neither bbox nor segmentation",
        lambda r: f"keys {_list(r)}",
    )
    refuse(
        lambda r: "bbox" in r and not _is_box(r["bbox"]),
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


def types_of(results: Sequence[dict], truth: dict) -> tuple[str, ...]:
    """Give the types that results and truth both have: ``bbox``, ``segm`` or both."""
    with_masks = bool(truth["annotations"]) and all(
        a.get("segmentation") for a in truth["annotations"]
    )
    in_truth = {"bbox": True, "segm": with_masks}
    return tuple(
        name for name, key in TYPES.items() if in_truth[name] and all(key in r for r in results)
    )


def check_type(iou_type: str, results: Sequence[dict], truth: dict, path: str) -> None:
    """Refuse a type that not all results, or not all annotations, have.

    Raises:
        ValueError: Naming how many lack it.
    """
    key = TYPES[iou_type]
    lacking = [index for index, result in enumerate(results) if key not in result]
    if lacking:
        raise ValueError(
            f"{path}: {len(lacking)} of {len(results)} results have no {key}, which --type "
            f"{iou_type} needs; the first is number {lacking[0]}"
        )
    if iou_type != "segm":
        return
    without = [a["id"] for a in truth["annotations"] if not a.get(key)]
    if without:
        raise ValueError(
            f"{len(without)} of {len(truth['annotations'])} annotations have no segmentation, "
            f"which --type segm needs: ids {_list(without)}"
        )
    sizes = _image_sizes(truth)
    other = [
        a["id"]
        for a in truth["annotations"]
        if isinstance(a[key], dict) and list(a[key]["size"]) != sizes[a["image_id"]]
    ]
    if other:
        raise ValueError(
            f"{len(other)} annotations have a mask of another size than their image: ids "
            f"{_list(other)}"
        )


def _image_sizes(truth: dict) -> dict[object, list[int]]:
    return {image["id"]: [image["height"], image["width"]] for image in truth["images"]}


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _is_box(value: object) -> bool:
    is_four = isinstance(value, list | tuple) and len(value) == 4
    return is_four and all(map(_is_number, value)) and value[2] >= 0 and value[3] >= 0


def _is_rle(value: object) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("counts"), str | bytes)
        and isinstance(value.get("size"), list | tuple)
    )


def _list(values: Iterable[object]) -> str:
    values = list(dict.fromkeys(map(str, values)))
    return ", ".join(values[:_SHOWN]) + (", ..." if len(values) > _SHOWN else "")
