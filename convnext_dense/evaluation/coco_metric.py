"""mmdet's CocoMetric, but with COCO's official figures and with results saved in COCO's format."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS

from convnext_dense.evaluation.coco import evaluate_coco
from convnext_dense.evaluation.figures import Figures
from convnext_dense.files import write_whole

# mmdet's names of the official figures that it logs.
_LOGGED = {
    "AP": "mAP",
    "AP50": "mAP_50",
    "AP75": "mAP_75",
    "APs": "mAP_s",
    "APm": "mAP_m",
    "APl": "mAP_l",
}


@METRICS.register_module()
class BenchmarkCocoMetric(CocoMetric):
    """mmdet's CocoMetric, with the official figures and those of every class in :attr:`figures`.

    mmdet counts up to 1000 detections per image, COCO only 100.

    Args:
        out: A ``.json`` file. The results are written to it in COCO's format before they are
            evaluated. If masks have other scores than boxes, there are two files: ``.bbox.json``
            and ``.segm.json``.
        kwargs: As for CocoMetric, with ``ann_file``, and no metrics but ``bbox`` and ``segm``.

    Attributes:
        figures: The figures, after they are computed.
        kept: The files of results that were written.
    """

    def __init__(self, out: str | None = None, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.out = out
        self.figures: Figures | None = None
        self.kept: list[Path] = []

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Save the collected results, then evaluate them."""
        truth = self._truth()
        cat_ids = self._coco_api.get_cat_ids(cat_names=self.dataset_meta["classes"])
        predictions = [prediction for _, prediction in results]
        all_found = {
            name: list(result_entries(predictions, cat_ids, masks=name == "segm"))
            for name in self.metrics
        }
        if self.out:
            self.kept = save_results(self.out, all_found)
        if self.format_only:
            return super().compute_metrics(results)
        summary: dict[str, float] = {}
        rows: list[dict] = [{} for _ in cat_ids]
        for name, found in all_found.items():
            figures = evaluate_coco(found, truth, (name,), cat_ids=cat_ids)
            summary |= figures.summary
            rows = [row | more for row, more in zip(rows, figures.per_class, strict=True)]
        self.figures = Figures(summary, rows)
        return {
            f"{name}_{logged}": round(summary[f"{name}_{official}"], 3)
            for name in all_found
            for official, logged in _LOGGED.items()
        }

    def _truth(self) -> dict:
        """Return the truth, of the images in ``img_ids`` if they are set."""
        truth = self._coco_api.dataset
        if self.img_ids is None:
            return truth
        ids = set(self.img_ids)
        return {
            **truth,
            "images": [image for image in truth["images"] if image["id"] in ids],
            "annotations": [one for one in truth["annotations"] if one["image_id"] in ids],
        }


def save_results(out: str | Path, all_found: Mapping[str, list[dict]]) -> list[Path]:
    """Write results in COCO's format.

    Args:
        out: A ``.json`` file, see :class:`BenchmarkCocoMetric`.
        all_found: Lists from :func:`result_entries`, by ``bbox`` and ``segm``.

    Returns:
        The files.

    Raises:
        OSError: If a file could not be written.
    """
    out = Path(out)
    scores = {tuple(entry["score"] for entry in found) for found in all_found.values()}
    if len(scores) == 1:
        # The entries of masks have boxes too.
        files = {out: all_found.get("segm", all_found.get("bbox"))}
    else:
        files = {out.with_suffix(f".{name}.json"): found for name, found in all_found.items()}
    for path, found in files.items():
        write_whole(path, json.dumps(found))
    return list(files)


def result_entries(
    predictions: Sequence[dict], cat_ids: Sequence[int], masks: bool
) -> Iterator[dict]:
    """Yield predictions in COCO's result format, one object per detection.

    Args:
        predictions: As CocoMetric collects them: ``img_id``, ``bboxes`` (N, 4) as x1, y1, x2, y2 in
            pixels, ``scores`` (N,), ``labels`` (N,), and ``masks``, N RLEs.
        cat_ids: The category of each label.
        masks: Whether to add the masks, and use their scores if they have their own.
    """
    for prediction in predictions:
        scores = prediction["scores"]
        if masks:
            scores = prediction.get("mask_scores", scores)
        boxes = prediction["bboxes"].tolist()
        labels = prediction["labels"].tolist()
        for index, ((x1, y1, x2, y2), label) in enumerate(zip(boxes, labels, strict=True)):
            entry = dict(
                image_id=prediction["img_id"],
                category_id=cat_ids[label],
                bbox=[x1, y1, x2 - x1, y2 - y1],
                score=float(scores[index]),
            )
            if masks:
                size, counts = (prediction["masks"][index][key] for key in ("size", "counts"))
                counts = counts.decode() if isinstance(counts, bytes) else counts
                entry["segmentation"] = dict(size=list(size), counts=counts)
            yield entry
