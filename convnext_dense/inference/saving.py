"""Results kept in files: pictures, JSON and masks."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from convnext_dense.files import path_inside, write_whole
from convnext_dense_runtime.results import Detections, Prediction, Segmentation, Unreadable

if TYPE_CHECKING:
    from convnext_dense.inference.drawing import Drawer

KINDS = ("pictures", "json", "masks")


class Saver:
    """Write results below a folder, each file whole or not at all. Only one thread may use it.

    ``pictures/NAME.jpg`` is the drawing, ``json/NAME.json`` the numbers. ``masks/NAME.png`` is, for
    a segmentation, the map of labels as in the data set's own maps; for detections, a map of their
    numbers: they count from 1 in the order of the JSON, a higher score covers a lower one, and 0
    means no object.

    Args:
        out: The folder; created if it is missing.
        kinds: What to write, from :data:`KINDS`.
        classes: Names of the classes.
        palette: RGB colours from 0 to 255, one per class, or None.
    """

    def __init__(
        self,
        out: str | Path,
        kinds: Collection[str],
        classes: Sequence[str],
        palette: list | None,
    ) -> None:
        self.out = Path(out)
        self.kinds = kinds
        self._draw: Drawer | None = None
        if "pictures" in kinds:
            from convnext_dense.inference.drawing import Drawer

            self._draw = Drawer(classes, palette)

    def save(self, name: str, prediction: Prediction) -> None:
        """Write one result.

        Args:
            name: Its path below the folders, without suffix.
            prediction: The picture and what was found.

        Raises:
            ValueError: If the picture could not be read, the model has no masks to write, or a
                link among the results leads out of the folder.
            OSError: If a file could not be written.
        """
        picture, found = _require_read(prediction)
        labels = as_label_map(found) if "masks" in self.kinds else None
        if "masks" in self.kinds and labels is None:
            raise ValueError(
                "`kinds=('masks',)`: the model predicts boxes only; leave masks out of `kinds`"
            )
        if self._draw:
            drawing = self._draw(picture, found)
            self._write_image(path_inside(self.out, f"pictures/{name}.jpg"), drawing)
        if "json" in self.kinds:
            write_whole(
                path_inside(self.out, f"json/{name}.json"), json.dumps(as_json(prediction)) + "\n"
            )
        if labels is not None:
            self._write_image(path_inside(self.out, f"masks/{name}.png"), labels)

    def _write_image(self, path: Path, image: np.ndarray) -> None:
        _, encoded = cv2.imencode(path.suffix, image)
        write_whole(path, encoded.tobytes())


def as_json(prediction: Prediction) -> dict:
    """Return a result in a form that JSON can hold.

    Returns:
        ``picture``, ``width`` and ``height``. For detections also ``boxes`` (x1, y1, x2, y2 in
        pixels), ``scores``, ``labels``, ``names`` and ``masks`` (COCO's compressed RLE), with one
        entry per object; for a segmentation ``shares``, each found class's part of the pixels.
    """
    picture, found = _require_read(prediction)
    height, width = picture.shape[:2]
    about = dict(picture=str(prediction.source), width=width, height=height)
    if isinstance(found, Segmentation):
        counts = np.bincount(found.labels.ravel(), minlength=len(found.classes))
        shares = {found.classes[i]: counts[i] / found.labels.size for i in np.flatnonzero(counts)}
        return about | dict(shares=shares)
    return about | dict(
        boxes=found.boxes.tolist(),
        scores=found.scores.tolist(),
        labels=found.labels.tolist(),
        names=[found.classes[label] for label in found.labels],
        **({} if found.masks is None else dict(masks=[encode_mask(mask) for mask in found.masks])),
    )


def _require_read(prediction: Prediction) -> tuple[np.ndarray, Detections | Segmentation]:
    if isinstance(prediction.result, Unreadable):
        raise ValueError(prediction.result.reason)
    assert prediction.picture is not None  # only an unreadable one has none
    return prediction.picture, prediction.result


def as_label_map(found: Detections | Segmentation) -> np.ndarray | None:
    """Return a result as one map of numbers; None for detections without masks.

    Returns:
        (H, W), uint8, or uint16 if the numbers need it.
    """
    if isinstance(found, Segmentation):
        labels = found.labels.astype(np.int64) + found.first_label
    elif found.masks is None:
        return None
    else:
        labels = np.zeros(found.masks.shape[1:], np.int64)
        for number in range(len(found), 0, -1):
            labels[found.masks[number - 1]] = number
    return labels.astype(np.uint8 if labels.max(initial=0) < 256 else np.uint16)


def encode_mask(mask: np.ndarray) -> dict:
    """Return a mask (H, W) as COCO's compressed RLE, with text that JSON can hold."""
    from pycocotools.mask import encode

    rle = encode(np.asfortranarray(mask, np.uint8))
    return dict(size=list(rle["size"]), counts=rle["counts"].decode())
