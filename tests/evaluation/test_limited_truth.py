"""Figures of a limited data set are those of its images alone."""

from __future__ import annotations

import json

import pytest
import torch
from mmdet.datasets import CocoDataset
from mmdet.evaluation import CocoMetric
from mmengine.dataset import ConcatDataset
from mmengine.evaluator import Evaluator
from torch.utils.data import DataLoader

from convnext_dense.evaluation.coco_metric import BenchmarkCocoMetric
from convnext_dense.evaluation.limited_truth import restrict_truth

pytestmark = pytest.mark.slow

BOX = [10, 10, 40, 40]


@pytest.fixture
def file(tmp_path) -> str:
    """A COCO file of three images with an object each."""
    images = [dict(id=i, file_name=f"{i}.png", width=64, height=64) for i in (3, 5, 8)]
    annotations = [
        dict(id=i + 1, image_id=one["id"], category_id=1, bbox=BOX, area=1600, iscrowd=0)
        for i, one in enumerate(images)
    ]
    content = dict(images=images, annotations=annotations, categories=[dict(id=1, name="a")])
    (tmp_path / "a.json").write_text(json.dumps(content))
    return str(tmp_path / "a.json")


def dataset(file: str, indices: list[int]) -> CocoDataset:
    return CocoDataset(
        ann_file=file,
        data_prefix=dict(img=""),
        metainfo=dict(classes=("a",)),
        pipeline=[],
        test_mode=True,
        indices=indices,
    )


def figures(metric: CocoMetric, data) -> dict[str, float]:
    """Evaluate a perfect prediction for every image of the data."""
    evaluator = Evaluator([metric])
    evaluator.dataset_meta = dict(classes=("a",))
    restrict_truth(evaluator, DataLoader(data))
    x, y, width, height = BOX
    found = dict(
        bboxes=torch.tensor([[x, y, x + width, y + height]]).float(),
        scores=torch.tensor([0.9]),
        labels=torch.tensor([0]),
    )
    for index in range(len(data)):
        info = data.get_data_info(index)
        sample = dict(img_id=info["img_id"], ori_shape=(64, 64), pred_instances=found)
        evaluator.process([sample])
    return evaluator.evaluate(len(data))


@pytest.mark.parametrize("kind", [CocoMetric, BenchmarkCocoMetric])
@pytest.mark.parametrize("indices", [[0], [2, 1], [0, 1, 2]], ids=str)
def test_objects_in_other_images_are_not_missed(kind, indices, file):
    metric = kind(ann_file=file, metric="bbox")
    assert figures(metric, dataset(file, indices))["coco/bbox_mAP"] == 1


@pytest.mark.parametrize("kind", [CocoMetric, BenchmarkCocoMetric])
def test_several_data_sets(kind, file):
    both = ConcatDataset([dataset(file, [0]), dataset(file, [2])])
    metric = kind(ann_file=file, metric="bbox")
    assert figures(metric, both)["coco/bbox_mAP"] == 1
    assert sorted(metric.img_ids) == [3, 8]


def test_without_the_hook_they_are_missed(file, monkeypatch):
    monkeypatch.setitem(globals(), "restrict_truth", lambda *_: None)
    metric = BenchmarkCocoMetric(ann_file=file, metric="bbox")
    assert figures(metric, dataset(file, [0]))["coco/bbox_mAP"] < 0.5
