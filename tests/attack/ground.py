"""The data, the configs and the uninterrupted runs that the attacks start from."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path

import numpy as np
from harness import ROOT, check, run, start
from PIL import Image
from traps import Recorder

SEGMENTS = ("left", "right", "disc")
SHAPES = ("circle", "square", "triangle", "star", "ring")
ITERATIONS, EPOCHS = 12, 3

SEGMENTER = """
_base_ = "{root}/configs/seg/upernet_convnext_t_ade20k.py"
model = dict(
    backbone=dict(arch=dict(_delete_=True, depths=(1, 1, 1, 1), channels=(8, 16, 32, 64))),
    decode_head=dict(in_channels=[8, 16, 32, 64], channels=8),
    auxiliary_head=dict(in_channels=32, channels=8),
)
train_dataloader = dict(num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = dict(num_workers=0, persistent_workers=False)
train_cfg = dict(max_iters={iterations}, val_interval=4)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-2, by_epoch=False, begin=0, end=2),
    dict(type="PolyLR", eta_min=0.0, power=1.0, by_epoch=False, begin=0, end={iterations}),
]
optim_wrapper = dict(optimizer=dict(lr=1e-2))
default_hooks = dict(
    logger=dict(interval=1), checkpoint=dict(interval=2, max_keep_ckpts=1)
)
"""
DETECTOR = """
_base_ = "{root}/configs/det/mask_rcnn_convnext_t_coco.py"
model = dict(
    backbone=dict(arch=dict(_delete_=True, depths=(1, 1, 1, 1), channels=(8, 16, 32, 64))),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=16),
    rpn_head=dict(in_channels=16, feat_channels=16),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=16),
        mask_roi_extractor=dict(out_channels=16),
        bbox_head=dict(in_channels=16, fc_out_channels=32),
        mask_head=dict(in_channels=16, conv_out_channels=16),
    ),
    train_cfg=dict(rpn_proposal=dict(nms_pre=50, max_per_img=50), rcnn=dict(sampler=dict(num=16))),
    test_cfg=dict(rpn=dict(nms_pre=50, max_per_img=20)),
)
train_dataloader = dict(num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = dict(num_workers=0, persistent_workers=False)
train_cfg = dict(max_epochs={epochs})
optim_wrapper = dict(optimizer=dict(lr=1e-2))
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(max_keep_ckpts=1))
"""


class Ground:
    """What is there before the attacks, in one folder.

    Args:
        folder: Where :meth:`make` put it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.places = folder / "places.txt"  # of an uninterrupted run
        self.seg_data, self.det_data = folder / "ade", folder / "shapes"
        self.configs = {"seg": folder / "tiny_seg.py", "det": folder / "tiny_det.py"}
        self.runs = {"seg": folder / "run_seg", "det": folder / "run_det"}
        det = f"--data-root {self.det_data} --classes {','.join(SHAPES)} --img-size 96"
        det += " --ann-train annotations/instances_train.json"
        det += " --ann-val annotations/instances_val.json"
        seg = f"--data-root {self.seg_data} --classes {','.join(SEGMENTS)} --img-size 64"
        self.flags = {"seg": seg.split(), "det": det.split()}

    def argv(self, kind: str, *args: object) -> list[str]:
        """Return the arguments of tools/train.py or tools/test.py; ``args`` come last.

        A checkpoint is the first of ``args`` for tools/test.py.
        """
        args = list(map(str, args))
        place = int(bool(args) and not args[0].startswith("-"))
        return [str(self.configs[kind]), *args[:place], *self.flags[kind], *args[place:]]

    def train_argv(self, kind: str, *args: object, work_dir: object = "w") -> list[str]:
        """Return the arguments of a training from scratch."""
        start = ("--weights", "none", "--seed", 0, "--work-dir", work_dir, "--verbose")
        return self.argv(kind, *start, *args)

    @cached_property
    def last(self) -> dict[str, Path]:
        """The last checkpoint of each uninterrupted run."""
        return {
            "seg": self.runs["seg"] / f"iter_{ITERATIONS}.pth",
            "det": self.runs["det"] / f"epoch_{EPOCHS}.pth",
        }

    @property
    def middle(self) -> Path:
        """A checkpoint of the segmenter in the middle of its run."""
        return self.folder / "iter_6.pth"

    @cached_property
    def cpu(self) -> dict[str, float]:
        """CPU seconds of each uninterrupted run."""
        return json.loads((self.folder / "cpu.json").read_text())

    def make(self) -> None:
        """Make data and configs, and train what is never stopped."""
        from convnext_dense.data.shapes import make_shapes

        make_shapes(self.det_data, train=6, val=4, size=96)
        make_label_maps(self.seg_data)
        values = dict(root=str(ROOT), iterations=ITERATIONS, epochs=EPOCHS)
        self.configs["seg"].write_text(SEGMENTER.format(**values))
        self.configs["det"].write_text(DETECTOR.format(**values))
        cpu = {}
        for kind, work_dir in self.runs.items():
            process = start("train", self.train_argv(kind, work_dir=work_dir), self.folder)
            while not process.poll(0.01):
                cpu[kind] = max(process.cpu_seconds(), cpu.get(kind, 0.0))
            done = process.wait()
            check(done.status == 0, f"an uninterrupted run fails: {done}")
        (self.folder / "cpu.json").write_text(json.dumps(cpu))
        argv = self.train_argv("seg", work_dir=self.folder / "w")
        run("train", argv, self.folder, prepare=Recorder(self.places))
        keep = ("--cfg-options", "default_hooks.checkpoint.max_keep_ckpts=9")
        run("train", self.train_argv("seg", *keep, work_dir=self.folder / "all"), self.folder)
        (self.folder / "all" / "iter_6.pth").rename(self.middle)


def make_label_maps(root: Path) -> None:
    """Make a data set in ADE20K's layout: 6 and 3 images of 80 x 64 pixels, 0 is unlabelled."""
    rng = np.random.default_rng(0)
    for split, number in (("training", 6), ("validation", 3)):
        images, labels = (root / part / split for part in ("images", "annotations"))
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        for index in range(number):
            label = np.ones((64, 80), np.uint8)
            label[:, 40:] = 2
            y, x = np.mgrid[:64, :80]
            centre = rng.uniform(16, 48, 2)
            label[np.hypot(y - centre[0], x - centre[1]) < 12] = 3
            label[:4] = 0
            picture = np.stack([label * 60] * 3, -1) + rng.integers(0, 30, (64, 80, 3))
            Image.fromarray(picture.astype(np.uint8)).save(images / f"{index}.jpg")
            Image.fromarray(label).save(labels / f"{index}.png")
