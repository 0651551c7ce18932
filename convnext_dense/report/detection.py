"""Compare a detector's predictions in validation images with the truth."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from mmengine.config import Config
from pycocotools.coco import COCO
from pycocotools.mask import decode

from convnext_dense.data.rules.field_kinds import Id
from convnext_dense.evaluation.coco import choose_backend, figures_of, run_cocoeval
from convnext_dense.evaluation.coco_input import read_results, read_truth, types_of
from convnext_dense.evaluation.figures import METRICS_FILE
from convnext_dense.inference.drawing import Drawer
from convnext_dense.inference.saving import encode_mask
from convnext_dense.report.task import Outcome, Task
from convnext_dense_runtime.results import Detections

if TYPE_CHECKING:
    from pycocotools.cocoeval import COCOeval

# Objects with a higher score are drawn, and count in the score of a picture.
SHOWN_SCORE = 0.3
TITLES = {"bbox": "boxes", "segm": "masks"}
_IOU_HALF = 0


@dataclass(frozen=True)
class Curves:
    """Precision over recall of boxes or masks.

    Attributes:
        kind: ``bbox`` or ``segm``.
        recall: (101,) from 0 to 1.
        half: (101,) precision at IoU 0.50, the mean of the classes.
        mean: (101,) the mean over IoU 0.50 to 0.95.
    """

    kind: str
    recall: np.ndarray
    half: np.ndarray
    mean: np.ndarray


@dataclass(frozen=True)
class DetectionOutcome(Outcome):
    """How well predictions and truth agree: COCO's figures, and F1 of each picture by its id.

    Attributes:
        curves: Of boxes, and of masks if there are any.
    """

    curves: list[Curves]


class DetectionTask(Task[Detections, list[dict]]):
    """The validation images of a detector's config; a prediction is a list of COCO's results."""

    def __init__(self, cfg: Config, key: str, dataset: dict) -> None:
        super().__init__(cfg, key, dataset)
        self._file = self._built.ann_file
        self._truth = read_truth(self._file, masks=True)
        # As CocoDataset numbers them.
        categories = [c for c in self._truth["categories"] if c["name"] in self.classes]
        if not categories:
            raise ValueError(f"{self._file} has none of the classes {', '.join(self.classes)}")
        self._names = {category["id"]: category["name"] for category in categories}
        folder = Path(self._built.data_prefix.get("img") or "")
        self.paths = {image["id"]: folder / image["file_name"] for image in self._truth["images"]}
        self._coco = COCO()
        self._coco.dataset = self._truth
        with contextlib.redirect_stdout(io.StringIO()):
            self._coco.createIndex()
        # The name of a single class would only cover the picture.
        several = len(self.classes) > 1
        self._draw_truth = Drawer(self.classes, self.colours, labels="name" if several else "none")
        self._draw_found = Drawer(self.classes, self.colours, labels="score" if several else "none")

    def find_kept(
        self, folder: Path, named: Collection[str] = ()
    ) -> tuple[Path, dict[Id, list[dict]]] | None:
        """Return the newest file of COCO's results for all images, and its content."""
        files = [file for file in folder.glob("*.json") if file.name != METRICS_FILE]
        files = [file for file in files if _begins_with_array(file)]
        if not files:
            return None
        file = max(files, key=lambda file: (file.name in named, file.stat().st_mtime))
        found: dict[Id, list[dict]] = {key: [] for key in self.paths}
        for result in read_results(file, self._truth, self._file):
            found[result["image_id"]].append(result)
        return file, found

    def as_kept(self, key: Id, result: Detections) -> list[dict]:
        """Convert the model's result of a picture to COCO's results."""
        ids = list(self._names)
        entries = []
        for index, (x1, y1, x2, y2) in enumerate(result.boxes.tolist()):
            entry = dict(
                image_id=key,
                category_id=ids[result.labels[index]],
                bbox=[x1, y1, x2 - x1, y2 - y1],
                score=float(result.scores[index]),
            )
            if result.masks is not None:
                entry["segmentation"] = encode_mask(result.masks[index])
            entries.append(entry)
        return entries

    def compare(self, found: Mapping[Id, list[dict]]) -> DetectionOutcome:
        """Compare predictions with the truth of their images, by COCO's evaluation."""
        truth = dict(
            self._truth,
            images=[image for image in self._truth["images"] if image["id"] in found],
            annotations=[a for a in self._truth["annotations"] if a["image_id"] in found],
        )
        results = [result for entries in found.values() for result in entries]
        ids, backend = sorted(self._names), choose_backend()
        types = types_of(results, truth, annotations=self._file)
        if not types:
            raise ValueError("some results have no box, others no mask: they cannot be compared")
        curves = []

        def evaluated() -> Iterator[tuple[str, COCOeval]]:
            for name in types:
                one = run_cocoeval(results, truth, name, backend, ids)
                curves.append(_curves(name, one))
                yield name, one

        figures = figures_of(evaluated(), truth, ids)
        seen = [result for result in results if result["score"] > SHOWN_SCORE]
        matched = run_cocoeval(seen, truth, types[-1], "pycocotools", ids)
        measure = (
            f"F1 of the {TITLES[types[-1]]} at IoU 0.50, of all objects with a score above "
            f"{SHOWN_SCORE}: 2 TP / (2 TP + FP + FN). These objects are drawn."
        )
        return DetectionOutcome(figures, _f1(matched), measure, "{:.2f}", curves)

    def draw(
        self, picture: np.ndarray, key: Id, found: list[dict]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw the truth and the predictions into a picture."""
        size = picture.shape[:2]
        true = [a for a in self._coco.imgToAnns[key] if a["category_id"] in self._names]
        shapes = [
            self._coco.annToMask(annotation) if annotation.get("segmentation") else None
            for annotation in true
        ]
        seen = [entry for entry in found if entry["score"] > SHOWN_SCORE]
        masks = [
            decode(entry["segmentation"]) if "segmentation" in entry else None for entry in seen
        ]
        return (
            self._draw_truth(picture, self._detections(true, shapes, size)),
            self._draw_found(picture, self._detections(seen, masks, size)),
        )

    def _detections(
        self, entries: Sequence[dict], masks: Sequence[np.ndarray | None], size: tuple[int, int]
    ) -> Detections:
        boxes = np.reshape([entry["bbox"] for entry in entries], (-1, 4)).astype(np.float32)
        boxes[:, 2:] += boxes[:, :2]
        ids = list(self._names)
        whole = [mask for mask in masks if mask is not None and mask.shape == size]
        return Detections(
            boxes,
            np.array([entry.get("score", 1) for entry in entries], np.float32),
            np.array([ids.index(entry["category_id"]) for entry in entries], np.int64),
            np.stack(whole).astype(bool) if whole and len(whole) == len(masks) else None,
            self.classes,
        )


def _begins_with_array(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(64).lstrip().startswith(b"[")


def _curves(kind: str, evaluated: COCOeval) -> Curves:
    # IoU, recall, class, area, detections; -1 if a class has no object.
    precision = np.asarray(evaluated.eval["precision"])[:, :, :, 0, -1]
    precision = np.where(precision < 0, np.nan, precision)
    counted = ~np.isnan(precision).all((0, 1))
    if not counted.any():
        raise ValueError("the truth of these images has no object of the classes")
    return Curves(
        kind,
        np.asarray(evaluated.params.recThrs),
        precision[_IOU_HALF][:, counted].mean(1),
        precision[:, :, counted].mean((0, 2)),
    )


def _f1(evaluated: COCOeval) -> dict[Id, float]:
    """Return the F1 of each image at IoU 0.50; an image without any objects has none."""
    counts: dict[Id, np.ndarray] = {}
    everything = evaluated.params.areaRng[0]
    for one in evaluated.evalImgs:
        if one is None or one["aRng"] != everything:
            continue
        counted = ~np.asarray(one["dtIgnore"][_IOU_HALF], bool)
        matched = np.asarray(one["dtMatches"][_IOU_HALF]) > 0
        wanted = ~np.asarray(one["gtIgnore"], bool)
        true = (counted & matched).sum()
        more = np.array([true, (counted & ~matched).sum(), wanted.sum() - true])
        counts[one["image_id"]] = counts.get(one["image_id"], 0) + more
    return {
        key: float(2 * true / (2 * true + false + missed))
        for key, (true, false, missed) in counts.items()
        if true + false + missed
    }
