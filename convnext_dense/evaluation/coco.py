"""Compute COCO's figures from results and annotations.

The figures are defined at https://cocodataset.org/#detection-eval. They are computed by
pycocotools' ``cocoeval.py``, or by faster-coco-eval, which does the same in C++.
"""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from convnext_dense.evaluation.coco_input import TYPES
from convnext_dense.evaluation.figures import Figures

if TYPE_CHECKING:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    from convnext_dense.data.rules.field_kinds import Id

# In the order of pycocotools' `stats`: name, IoU, area of the object, detections per image.
OFFICIAL = (
    ("AP", "0.50:0.95", "all", 100),
    ("AP50", "0.50", "all", 100),
    ("AP75", "0.75", "all", 100),
    ("APs", "0.50:0.95", "small", 100),
    ("APm", "0.50:0.95", "medium", 100),
    ("APl", "0.50:0.95", "large", 100),
    ("AR1", "0.50:0.95", "all", 1),
    ("AR10", "0.50:0.95", "all", 10),
    ("AR100", "0.50:0.95", "all", 100),
    ("ARs", "0.50:0.95", "small", 100),
    ("ARm", "0.50:0.95", "medium", 100),
    ("ARl", "0.50:0.95", "large", 100),
)
# Indices into `precision`: IoU thresholds, all or one, and the area range.
_PER_CLASS: dict[str, tuple[slice | int, int]] = {
    "AP": (slice(None), 0),
    "AP50": (0, 0),
    "AP75": (5, 0),
    "APs": (slice(None), 1),
    "APm": (slice(None), 2),
    "APl": (slice(None), 3),
}
BACKENDS = ("pycocotools", "faster-coco-eval")


def choose_backend(name: str | None = None) -> str:
    """Return the backend to use: the named one, or for None the fastest that is installed.

    Raises:
        ValueError: If there is no such backend.
        ImportError: If it is not installed.
    """
    if name is None:
        return BACKENDS[1] if find_spec("faster_coco_eval") else BACKENDS[0]
    if name not in BACKENDS:
        raise ValueError(f"there is no backend {name!r}, choose one of {', '.join(BACKENDS)}")
    if find_spec(name.replace("-", "_")) is None:
        raise ImportError(f"`backend={name!r}` is not installed: pip install {name}")
    return name


def evaluate_coco(
    results: Sequence[dict],
    truth: dict,
    types: Sequence[str] = ("bbox",),
    *,
    backend: str | None = None,
    cat_ids: Sequence[Id] | None = None,
) -> Figures:
    """Evaluate results in COCO's format.

    For masks the area of a result is its mask's, even if it has a box, as in mmdet.

    Args:
        results: From :func:`~convnext_dense.evaluation.coco_input.read_results`. Not changed.
        truth: From :func:`~convnext_dense.evaluation.coco_input.read_truth`.
        types: ``bbox``, ``segm`` or both.
        backend: ``pycocotools``, ``faster-coco-eval``, or None for the fastest installed.
        cat_ids: The categories that count, or None for all.

    Returns:
        The twelve official figures of each type, and the figures of each class.

    Raises:
        ValueError: If there is no such type or backend.
        ImportError: If the backend is not installed.
    """
    unknown = [name for name in types if name not in TYPES]
    if unknown:
        raise ValueError(f"there is no type {unknown[0]!r}, choose from {', '.join(TYPES)}")
    backend = choose_backend(backend)
    # COCOeval's arrays have the categories in this order.
    ids = sorted(c["id"] for c in truth["categories"]) if cat_ids is None else sorted(cat_ids)
    evaluated = ((name, run_cocoeval(results, truth, name, backend, ids)) for name in types)
    return figures_of(evaluated, truth, ids)


def figures_of(
    evaluated: Iterable[tuple[str, COCOeval]], truth: dict, cat_ids: Sequence[Id]
) -> Figures:
    """Return the figures of evaluations by :func:`run_cocoeval`.

    Args:
        evaluated: Pairs of a type, ``bbox`` or ``segm``, and its COCOeval. If this is a generator,
            only one COCOeval is in memory at a time.
        truth: As for :func:`evaluate_coco`.
        cat_ids: The categories that were evaluated, in their order.
    """
    names = {category["id"]: category["name"] for category in truth["categories"]}
    summary: dict[str, float] = {}
    objects = Counter(a["category_id"] for a in truth["annotations"] if not a["iscrowd"])
    rows = [{"class": names[cat_id], "objects": objects[cat_id]} for cat_id in cat_ids]
    for iou_type, one in evaluated:
        stats = zip(OFFICIAL, one.stats, strict=True)
        summary |= {f"{iou_type}_{name}": float(value) for (name, *_), value in stats}
        precision = np.asarray(one.eval["precision"])  # IoU, recall, class, area, detections
        for index, row in enumerate(rows):
            row |= {
                f"{iou_type}_{name}": _mean(precision[thresholds, ..., index, area, -1])
                for name, (thresholds, area) in _PER_CLASS.items()
            }
    return Figures(summary, rows)


def run_cocoeval(
    results: Sequence[dict], truth: dict, iou_type: str, backend: str, cat_ids: Sequence[Id]
) -> COCOeval:
    """Run a backend's COCOeval, whose arrays and matches contain more than the figures.

    Args:
        results: As for :func:`evaluate_coco`.
        truth: As for :func:`evaluate_coco`; the ids of images and categories may be numbers or
            texts. Matches refer to annotations by their position in the list, from 1.
        iou_type: ``bbox`` or ``segm``.
        backend: One of :data:`BACKENDS`. Only pycocotools fills ``evalImgs``.
        cat_ids: The categories that count, in the order of the arrays.

    Returns:
        COCOeval, evaluated, accumulated and summarised. Its ids are numbers in the order of the
        truth's ids, except in ``evalImgs``, where images have their ids from the truth.
    """
    images, categories = (_numbered(truth[kind]) for kind in ("images", "categories"))

    def linked(entry: dict) -> dict:
        return dict(
            entry,
            image_id=images[entry["image_id"]],
            category_id=categories[entry["category_id"]],
        )

    # Both backends change the entries they are given, so they get copies.
    needed = ("image_id", "category_id", "score", TYPES[iou_type])
    results = [linked({name: result[name] for name in needed}) for result in results]
    if backend == "pycocotools":
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    else:
        from faster_coco_eval import COCO
        from faster_coco_eval import COCOeval_faster as COCOeval
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        # Both backends accept only integers. They record a match by the annotation's id, and 0
        # means no match.
        coco.dataset = dict(
            images=[
                dict(i, id=images[i["id"]], width=int(i["width"]), height=int(i["height"]))
                for i in truth["images"]
            ],
            categories=[dict(c, id=categories[c["id"]]) for c in truth["categories"]],
            annotations=[
                dict(linked(a), id=n, iscrowd=int(a["iscrowd"]))
                for n, a in enumerate(truth["annotations"], start=1)
            ],
        )
        coco.createIndex()
        evaluation = COCOeval(coco, _load_results(COCO, coco, results), iou_type)
        evaluation.params.catIds = [categories[cat_id] for cat_id in cat_ids]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    own = {number: image_id for image_id, number in images.items()}
    for one in evaluation.evalImgs:
        if one is not None:
            one["image_id"] = own[one["image_id"]]
    return evaluation


def _numbered(entries: Iterable[dict]) -> dict[Id, int]:
    """Return a number from 1 for each id, in pycocotools' order."""
    return {own: number for number, own in enumerate(sorted(e["id"] for e in entries), start=1)}


def _load_results(kind: type[COCO], coco: COCO, results: list[dict]) -> COCO:
    if results:
        return coco.loadRes(results)
    none = kind()  # loadRes fails without a first result
    none.dataset = dict(coco.dataset, annotations=[])
    none.createIndex()
    return none


def _mean(values: np.ndarray) -> float:
    values = values[values > -1]
    return float(values.mean()) if values.size else float("nan")
