"""Work directories as tools/train.py and tools/test.py leave them, made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import convnext_dense  # noqa: F401  first, since it makes mmdet importable

HOSTILE = "<script>alert('&')</script>"
LOG = """2026/01/31 12:00:00 - mmengine - INFO -
------------------------------------------------------------
System environment:
    sys.platform: linux
    Python: 3.11.7 (main) [GCC 12.2.0]
    PyTorch: 2.13.0+cpu
    PyTorch compiling details: PyTorch built with:
  - GCC 13.3
    OpenCV: 5.0.0

Runtime environment:
    seed: 7
------------------------------------------------------------

2026/01/31 12:00:01 - mmengine - INFO - Config:
    lr: 3
"""


def training(steps, loss=1.0, epoch_of=None) -> list[dict]:
    """Records of training at some steps."""
    records = []
    for step in steps:
        record = dict(lr=0.1 / step, loss=loss, loss_cls=loss / 2, time=0.5, data_time=0.1)
        record |= dict(epoch=epoch_of(step)) if epoch_of else {}
        records.append(record | dict(iter=step, step=step))
    return records


def lines(records) -> str:
    """The records as a logger writes them."""
    return "".join(json.dumps(record) + "\n" for record in records)


class WorkDir:
    """Writes a work directory, file by file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def start(self, name: str, scalars: str, config: str = "", log: str = LOG) -> WorkDir:
        """Add a start of the run."""
        part = self.folder / name
        (part / "vis_data").mkdir(parents=True)
        (part / "vis_data" / "scalars.json").write_text(scalars)
        (part / "vis_data" / "config.py").write_text(config)
        (part / f"{name}.log").write_text(log)
        return self


@pytest.fixture
def work_dir(tmp_path):
    """Make an empty work directory of a name."""
    return lambda name="run": WorkDir(tmp_path / name)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint8)


def annotation(number, image, category, box) -> dict:
    x, y, w, h = box
    outline = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    more = dict(bbox=box, area=w * h, iscrowd=0, segmentation=outline)
    return dict(id=number, image_id=image, category_id=category, **more)


@pytest.fixture
def detector(tmp_path, work_dir) -> WorkDir:
    """A detector's finished run of 2 epochs with kept predictions for 4 images, 64 x 48 pixels.

    All is found in the first, half in the second; in the third is a false alarm, the last is empty.
    """
    root = tmp_path / "coco"
    (root / "val").mkdir(parents=True)
    ids = [30, 10, 20, 40]  # neither contiguous nor in order
    for number in ids:
        cv2.imwrite(str(root / "val" / f"{number}.png"), noise(48, 64))
    boxes = {"a": [4, 4, 20, 20], "b": [34, 10, 20, 30]}
    truth = dict(
        images=[dict(id=n, file_name=f"{n}.png", height=48, width=64) for n in ids],
        categories=[dict(id=5, name="cat"), dict(id=9, name=HOSTILE), dict(id=11, name="other")],
        annotations=[
            annotation(1, 30, 5, boxes["a"]),
            annotation(2, 30, 9, boxes["b"]),
            annotation(3, 10, 5, boxes["a"]),
            annotation(4, 10, 9, boxes["b"]),
            annotation(5, 20, 11, boxes["a"]),
        ],
    )
    (root / "val.json").write_text(json.dumps(truth))
    results = [
        dict(image_id=image, category_id=category, bbox=boxes[box], score=score)
        for image, category, box, score in [
            (30, 5, "a", 0.9),
            (30, 9, "b", 0.8),
            (10, 5, "a", 0.7),
            (10, 9, "b", 0.2),  # too unsure to be drawn
            (20, 5, "b", 0.6),
        ]
    ]
    config = f"""
default_scope = "mmdet"
train_cfg = dict(max_epochs=2)
val_dataloader = dict(dataset=dict(
    type="CocoDataset", data_root={str(root)!r}, ann_file="val.json", data_prefix=dict(img="val"),
    metainfo=dict(classes=("cat", {HOSTILE!r}), palette=[(255, 0, 0), (0, 255, 0)])))
"""
    records = [
        *training([1, 2, 3], 3.0, lambda step: 1),
        {"coco/bbox_mAP": 0.1, "coco/bbox_mAP_50": 0.2, "time": 0.1, "step": 1},
        *training([4, 5, 6], 2.0, lambda step: 2),
        {"coco/bbox_mAP": 0.3, "coco/bbox_mAP_50": 0.4, "time": 0.1, "step": 2},
    ]
    run = work_dir("detector").start("20260131_120000", lines(records), config)
    (run.folder / "my_config.py").write_text(config)
    (run.folder / "results.json").write_text(json.dumps(results))
    (run.folder / "epoch_2.pth").touch()
    return run


SEGMENTS = ("sky", HOSTILE, "road")


@pytest.fixture
def segmenter(tmp_path, work_dir) -> WorkDir:
    """A segmenter's stopped run with kept predictions for 2 images of 40 x 30 pixels.

    The first is right; in the second half of the sky is taken for road.
    """
    root = tmp_path / "ade"
    for folder in ("images", "annotations"):
        (root / folder).mkdir(parents=True)
    labels = np.ones((30, 40), np.uint8)
    labels[10:20], labels[20:], labels[:, :4] = 2, 3, 0
    other = labels.copy()
    other[:5, 4:] = 3
    config = f"""
default_scope = "mmseg"
train_cfg = dict(max_iters=100)
val_dataloader = dict(dataset=dict(
    type="BaseSegDataset", data_root={str(root)!r}, reduce_zero_label=True, img_suffix=".png",
    data_prefix=dict(img_path="images", seg_map_path="annotations"),
    metainfo=dict(classes={SEGMENTS!r}, palette=[(255, 0, 0), (0, 255, 0), (0, 0, 255)])))
"""
    records = [*training([10, 20]), dict(mIoU=40.0, aAcc=50.0, mAcc=45.0, step=20)]
    run = work_dir("segmenter").start("20260131_120000", lines(records), config)
    (run.folder / "labels").mkdir()
    for name, found in (("one", labels), ("two", other)):
        cv2.imwrite(str(root / "images" / f"{name}.png"), noise(30, 40))
        Image.fromarray(labels).save(root / "annotations" / f"{name}.png")
        Image.fromarray(found).save(run.folder / "labels" / f"{name}.png")
    return run


@pytest.fixture
def helpers():
    """What tests of other files use of these."""
    return dict(lines=lines, training=training, hostile=HOSTILE, log=LOG)
