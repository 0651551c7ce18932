"""What the validation images of detectors and of segmenters have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from mmengine.config import Config

from convnext_dense.config.data.classes import distinct_colours
from convnext_dense.data.check import build_without_annotations, check_root
from convnext_dense.data.rules.field_kinds import Id
from convnext_dense.evaluation.figures import Figures

Result = TypeVar("Result")
Kept = TypeVar("Kept")


@dataclass(frozen=True)
class Outcome:
    """How well predictions and truth agree.

    Attributes:
        figures: The official figures.
        scores: The score of each picture.
        measure: An explanation of the scores.
        layout: The format of a score.
    """

    figures: Figures
    scores: Mapping[Id, float]
    measure: str
    layout: str


class Task(ABC, Generic[Result, Kept]):
    """The validation images of a detector's or a segmenter's config.

    Each task has its own form of predictions: COCO's results, or a PNG of labels.

    Args:
        cfg: The config.
        key: The dotted key of the data set in it.
        dataset: That data set's dict.

    Attributes:
        classes: Their names.
        colours: RGB, one per class.
        paths: The pictures' files.

    Raises:
        FileNotFoundError: If the data is missing.
        ValueError: If it cannot be compared.
    """

    paths: dict[Id, Path]

    def __init__(self, cfg: Config, key: str, dataset: dict) -> None:
        check_root(key, dataset)
        self._built = build_without_annotations(cfg, key, dataset)
        self.classes = tuple(self._built.metainfo["classes"])
        self.colours = class_colours(self._built.metainfo)

    @abstractmethod
    def find_kept(
        self, folder: Path, named: Collection[str] = ()
    ) -> tuple[Path, Mapping[Id, Kept]] | None:
        """Return the newest file or folder with predictions of all images, and its content.

        Args:
            folder: The work directory.
            named: Names of the last test's, which are preferred to newer ones.

        Raises:
            ValueError: If it does not fit the data.
        """

    @abstractmethod
    def as_kept(self, key: Id, result: Result) -> Kept:
        """Convert the model's result of a picture to the task's form of predictions."""

    @abstractmethod
    def compare(self, found: Mapping[Id, Kept]) -> Outcome:
        """Compare predictions with the truth of their images."""

    @abstractmethod
    def draw(self, picture: np.ndarray, key: Id, found: Kept) -> tuple[np.ndarray, np.ndarray]:
        """Draw the truth and the predictions into a picture, each (H, W, 3) uint8 in BGR order."""


def class_colours(metainfo: Mapping) -> list[tuple[int, int, int]]:
    """Return the colours of a data set's classes: its own, or distinct ones.

    Args:
        metainfo: The data set's: ``classes``, and perhaps ``palette`` of RGB from 0 to 255. A
            palette for fewer classes, such as the benchmark's, is not used.

    Returns:
        RGB, one per class.
    """
    number, palette = len(metainfo["classes"]), metainfo.get("palette")
    if isinstance(palette, list | tuple) and len(palette) >= number:
        return [(int(r), int(g), int(b)) for r, g, b in palette[:number]]
    return distinct_colours(number)
