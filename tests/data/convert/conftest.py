"""Data sets to convert, and what a conversion leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convnext_dense.data.convert.run import convert
from convnext_dense.data.formats.source import Loss, Object, Picture

SIZE = (64, 48)


class FakeSource:
    """A source of the contract, without files of labels.

    Args:
        root: Where its pictures are written.
        labels: For each picture's name, its objects: (class, box) or (class, polygon).
        splits: The split by the name.
        seed: Of the pictures, so that two sources have the same or different ones.
    """

    format = "fake"
    pixels: dict = {}

    def __init__(self, root, labels, splits=None, seed=0, losses=()):
        self.root, self.labels, self.splits = root, labels, splits or {}
        self.folders = (root,)
        self.losses: list[Loss] = []
        self.lost = list(losses)
        self.classes = tuple(dict.fromkeys(label for own in labels.values() for label, _ in own))
        self.about = len(labels)
        for name in labels:
            noise(root / name, f"{seed} {name}")

    def pictures(self) -> Iterator[Picture]:
        self.losses = list(self.lost)
        for name, own in self.labels.items():
            objects = tuple(thing(label, shape, name) for label, shape in own)
            yield Picture(self.root / name, name, *SIZE, objects, self.splits.get(name))


def thing(label, shape, place) -> Object:
    if isinstance(shape, tuple):
        return Object(label, shape, place=place)
    points = np.array(shape, np.float64)
    return Object(label, (*points.min(0), *points.max(0)), (points,), place=place)


def noise(path: Path, key: str, size=SIZE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(list(key.encode()))
    Image.fromarray(rng.integers(0, 255, (*size[::-1], 3), np.uint8)).save(path)
    return path


@dataclass
class Result:
    """What a conversion left and said."""

    converted: object
    notes: list[str]
    content: dict = field(default_factory=dict)

    def __post_init__(self):
        for file in sorted(self.converted.out.glob("annotations/instances_*.json")):
            self.content[file.stem.removeprefix("instances_")] = json.loads(file.read_text())

    def names(self, split) -> list[str]:
        return [image["file_name"] for image in self.content[split]["images"]]

    def annotations(self) -> list[dict]:
        return [one for content in self.content.values() for one in content["annotations"]]

    def said(self) -> dict[str, int]:
        return {change.what: change.count for change in self.converted.changes}


@pytest.fixture
def fake(tmp_path):
    return lambda name, labels, **kwargs: FakeSource(tmp_path / name, labels, **kwargs)


@pytest.fixture
def run(tmp_path):
    """Convert fake or real sources into ``out``."""

    def call(*sources, out="out", **kwargs) -> Result:
        notes: list[str] = []
        converted = convert(sources, tmp_path / out, tell=notes.append, **kwargs)
        return Result(converted, notes)

    return call
