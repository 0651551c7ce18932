"""Compare a segmenter's predictions in validation images with the truth."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from PIL import Image

from convnext_dense.data.rules.field_kinds import Id
from convnext_dense.evaluation.iou_metric import figures_of_areas
from convnext_dense.evaluation.label_maps import IGNORED, read_labels
from convnext_dense.evaluation.map_files import label_map_name
from convnext_dense.inference.drawing import Drawer
from convnext_dense.report.task import Outcome, Task
from convnext_dense_runtime.results import Segmentation

MEASURE = "mIoU, in percent, of the classes in the picture's truth or prediction."


@dataclass(frozen=True)
class SegmentationOutcome(Outcome):
    """How well predictions and truth agree: mmseg's figures, and mIoU of each picture by its path.

    Attributes:
        confusion: (K, K + 1) pixels by true and predicted class; the last column counts pixels
            that were predicted as unlabelled.
    """

    confusion: np.ndarray


class SegmentationTask(Task[Segmentation, Path | bytes]):
    """The validation images of a segmenter's config.

    A prediction is a path or the bytes of a PNG of labels.
    """

    def __init__(self, cfg: Config, key: str, dataset: dict) -> None:
        from mmseg.datasets.transforms import LoadAnnotations

        super().__init__(cfg, key, dataset)
        built = self._built
        folders = [built.data_prefix.get(name) for name in ("img_path", "seg_map_path")]
        missing = [folder for folder in folders if not (folder and Path(folder).is_dir())]
        if missing:
            raise FileNotFoundError(f"folder {missing[0]} ({key}.data_prefix) does not exist")
        if not 1 < len(self.classes) < IGNORED:
            raise ValueError(f"{key} has {len(self.classes)} classes; 2 to 254 can be compared")
        self._reduce_zero_label = bool(built.reduce_zero_label)
        self._infos = {info["img_path"]: info for info in built.load_data_list()}
        if not self._infos:
            raise ValueError(f"{folders[0]} ({key}.data_prefix.img_path) has no image")
        self.paths = {path: Path(path) for path in self._infos}
        self._images = folders[:1]
        self._load = LoadAnnotations(imdecode_backend="pillow")
        self._draw = Drawer(self.classes, self.colours, legend=False)

    def find_kept(
        self, folder: Path, named: Collection[str] = ()
    ) -> tuple[Path, dict[Id, Path]] | None:
        """Return the newest folder with a PNG of labels for every image, and the PNGs."""
        wanted = {key: label_map_name(path, self._images) for key, path in self.paths.items()}
        folders = [
            sub
            for sub in folder.iterdir()
            if sub.is_dir() and all((sub / name).is_file() for name in wanted.values())
        ]
        if not folders:
            return None
        newest = max(folders, key=lambda sub: (sub.name in named, sub.stat().st_mtime))
        return newest, {key: newest / name for key, name in wanted.items()}

    def as_kept(self, key: Id, result: Segmentation) -> bytes:
        """Convert the model's result of a picture to the bytes of a PNG, as a test writes it."""
        png = io.BytesIO()
        labels = result.labels + np.uint8(self._reduce_zero_label)
        Image.fromarray(labels.astype(np.uint8)).save(png, "PNG")
        return png.getvalue()

    def compare(self, found: Mapping[Id, Path | bytes]) -> SegmentationOutcome:
        """Compare predictions with the truth of their images, by mmseg's IoUMetric."""
        number = len(self.classes)
        confusion = np.zeros((number, number + 1), np.int64)
        scores = {}
        for key, prediction in found.items():
            truth, labels = self._truth(key), self._labels(prediction)
            if truth.shape != labels.shape:
                raise ValueError(
                    f"the prediction for {key} has shape {labels.shape}, its truth {truth.shape}"
                )
            counted = truth != IGNORED
            pairs = truth[counted].astype(np.int64) * (number + 1)
            pairs += np.minimum(labels[counted], number)
            one = np.bincount(pairs, minlength=confusion.size).reshape(confusion.shape)
            confusion += one
            both, either, *_ = areas(one)
            if (either > 0).any():
                scores[key] = float(100 * (both[either > 0] / either[either > 0]).mean())
        if not confusion.any():
            raise ValueError("the truth of these images has no labelled pixel")
        counted = tuple(map(torch.from_numpy, areas(confusion)))
        figures = figures_of_areas([counted], self.classes)
        return SegmentationOutcome(figures, scores, MEASURE, "{:.1f}", confusion)

    def draw(
        self, picture: np.ndarray, key: Id, found: Path | bytes
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw the truth and the predictions into a picture."""
        truth = Segmentation(self._truth(key), self.classes)
        return self._draw(picture, truth), self._draw(
            picture, Segmentation(self._labels(found), self.classes)
        )

    def _truth(self, key: Id) -> np.ndarray:
        labels = self._load(dict(self._infos[key]))["gt_seg_map"]
        wrong = labels[(labels >= len(self.classes)) & (labels != IGNORED)]
        if wrong.size:
            raise ValueError(
                f"{self._infos[key]['seg_map_path']} has the label {int(wrong.max())}, but there "
                f"are {len(self.classes)} classes"
            )
        return labels.astype(np.uint8)

    def _labels(self, prediction: Path | bytes) -> np.ndarray:
        return read_labels(prediction, len(self.classes), self._reduce_zero_label)


def areas(confusion: np.ndarray) -> tuple[np.ndarray, ...]:
    """Convert pixels by true and predicted class to the counts of IoUMetric.

    Args:
        confusion: (K, K + 1), as of :class:`SegmentationOutcome`.

    Returns:
        Four arrays (K,) of float64: pixels of both, of either, of the prediction, of the truth.
    """
    both = np.diagonal(confusion).astype(np.float64)
    predicted = confusion.sum(0)[:-1].astype(np.float64)
    true = confusion.sum(1).astype(np.float64)
    return both, predicted + true - both, predicted, true
