"""A data set in COCO's format whose records can be spoilt one by one, and every tool on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from convnext_dense.config.steps.data import retarget
from convnext_dense.data.audit import audit_data
from convnext_dense.data.check import build_without_annotations, check_data
from convnext_dense.evaluation.coco import BACKENDS, evaluate_coco
from convnext_dense.evaluation.coco_input import check_type, read_results, read_truth, types_of


@dataclass
class Tools:
    """Every tool that reads annotations, called in this process.

    Attributes:
        cfg: Of a detector with masks, for the data set.
        truth: The file of the validation.
        results: A file of results for it.
        good: Its content as it was written.
        calls: What each tool does with ``truth``, by its name.
        expected: What each returns for the good content.
    """

    cfg: object
    truth: Path
    results: Path
    good: dict
    calls: dict[str, Callable[[], object]] = field(init=False)
    expected: dict[str, object] = field(init=False)

    def __post_init__(self) -> None:
        self.calls = dict(check=self.check, train=self.train, test=self.test) | {
            backend: lambda backend=backend: self.evaluate(backend) for backend in BACKENDS
        }
        self.expected = {name: call() for name, call in self.calls.items()}

    def write(self, content: dict) -> None:
        """Write the truth, for training too."""
        text = json.dumps(content)
        for split in ("train", "val"):
            self.truth.with_name(f"instances_{split}.json").write_text(text)

    def check(self) -> list[dict]:
        """Do what tools/data.py check does: the counts, or the error of the validation's file."""
        audit = audit_data(self.cfg, fast=True, workers=0)
        errors = [f for f in audit.findings if f.level == "error" and f.where == "val, test"]
        if errors:
            raise ValueError(errors[0].sentence)
        return audit.checked[1].rows

    def train(self) -> list[dict]:
        """Do what training does before it begins: the objects as mmdet's data set has them."""
        check_data(self.cfg, ("train",))
        key = "train_dataloader.dataset"
        dataset = build_without_annotations(self.cfg, key, self.cfg.train_dataloader.dataset)
        # Of a mask the pixels count, of a number its value.
        images = [dict(image, img_id=None) for image in map(_parsed, dataset.load_data_list())]
        return sorted(images, key=lambda image: image["img_path"])

    def test(self) -> None:
        """Do what a test does before it begins."""
        check_data(self.cfg, ("test",))

    def evaluate(self, backend: str) -> dict:
        """Do what tools/evaluate.py coco does: the figures."""
        truth = read_truth(self.truth)
        results = read_results(self.results, truth, self.truth)
        types = types_of(results, truth, str(self.results), self.truth)
        for name in types:
            check_type(name, results, truth, str(self.results), str(self.truth))
        return evaluate_coco(results, truth, types, backend=backend).summary


def _parsed(image: dict) -> dict:
    return {name: value for name, value in image.items() if name != "sample_idx"}


@pytest.fixture
def tools(mask_rcnn, coco_set) -> Tools:
    """Two images of one object each, the first a polygon, the second run lengths; all found."""

    def add_runs(content):
        rle = dict(size=[48, 64], counts=[4 * 48 + 4, *[10, 38] * 19, 10, 34 + 40 * 48])
        content["annotations"][1]["segmentation"] = rle

    root = coco_set(add_runs)
    truth = root / "annotations" / "instances_val.json"
    good = json.loads(truth.read_text())
    results = root / "results.json"
    compressed = dict(size=[48, 64], counts=_compressed(good["annotations"][1]["segmentation"]))
    found = [
        dict(image_id=a["image_id"], category_id=a["category_id"], score=0.9, bbox=a["bbox"])
        for a in good["annotations"]
    ]
    results.write_text(json.dumps([dict(one, segmentation=compressed) for one in found]))
    cfg = retarget(
        mask_rcnn,
        data_root=str(root),
        classes="cat,dog",
        ann_train="annotations/instances_train.json",
        ann_val="annotations/instances_val.json",
    )
    return Tools(cfg, truth, results, good)


def _compressed(rle: dict) -> str:
    from pycocotools.mask import frPyObjects

    return frPyObjects(rle, *rle["size"])["counts"].decode()
