"""A small detector and a small segmenter, trained on a few made pictures, stopped and resumed."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import mean
from time import perf_counter

import cv2
import numpy as np
import torch

from convnext_dense.config.options import RunOptions
from convnext_dense.data.shapes import CLASSES, draw_scene, make_shapes
from convnext_dense.doctor.finding import Examination, Finding, Verdict
from convnext_dense.swap.trial import quiet
from convnext_dense.text import one_line
from convnext_dense.training.run import train
from convnext_dense.zoo.recipes import recipe_file

SIDE = 96
PICTURES, VALIDATED = 4, 2
ITERATIONS = 16
DETECTOR, SEGMENTER = "mask_rcnn_convnext_t_coco", "upernet_convnext_t_ade20k"
_SMALL = RunOptions(
    DETECTOR,
    img_size=SIDE,
    backbone="atto",
    weights="none",
    batch_size=2,
    seed=0,
    iters=ITERATIONS,
    lr=5e-4,
    cfg_options={
        f"{split}_dataloader.{key}": value
        for split in ("train", "val")
        for key, value in (("num_workers", 0), ("persistent_workers", False))
    }
    | {"default_hooks.logger.interval": 1},
)

# The published heads take most of the time, and are not what is examined here.
_SMALL_DETECTOR = {
    "model.train_cfg.rpn_proposal.max_per_img": 200,
    "model.train_cfg.rcnn.sampler.num": 64,
    "model.test_cfg.rpn.max_per_img": 50,
    "model.roi_head.bbox_head.fc_out_channels": 128,
    "model.roi_head.mask_head.num_convs": 1,
}
_SMALL_SEGMENTER = {"model.decode_head.channels": 64, "model.auxiliary_head.channels": 32}


def check_training(examination: Examination) -> Iterator[Finding]:
    """Train a small Mask R-CNN and a small UperNet; their losses must fall."""
    for name, options in _trainings(examination.folder):
        yield _train(f"training of a small {name}", options)


def check_amp(examination: Examination, device: torch.device) -> Iterator[Finding]:
    """Train in float16 with loss scaling and in bfloat16, on one GPU."""
    for dtype in ("float16", "bfloat16"):
        for name, options in _trainings(examination.folder):
            folder = f"{options.work_dir}_{dtype}_{device.index}"
            with torch.cuda.device(device):
                yield _train(
                    f"training of a small {name} in {dtype}, {device}",
                    replace(options, amp=dtype, work_dir=folder),
                )


def check_checkpoints(examination: Examination) -> Iterator[Finding]:
    """Resume a training from its checkpoint, after a damaged copy was refused."""
    options = segmenter_options(examination.folder)
    work_dir = Path(str(options.work_dir))
    name = "checkpoint"
    written = {int(path.stem.partition("_")[2]): path for path in work_dir.glob("iter_*.pth")}
    if len(written) < 2:
        yield Finding(name, Verdict.NOT_SEEN, "the training above left none to resume")
        return
    start = min(written)
    damaged = work_dir / "damaged.pth"
    content = bytearray(written[start].read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(byte ^ 0xFF for byte in content[middle : middle + 64])
    damaged.write_bytes(content)
    try:
        _run(replace(options, resume=str(damaged)))
    except Exception as error:  # any refusal is right, if it names the file
        refused = damaged.name in str(error)
        detail = "refused" if refused else one_line(error)
        yield Finding.judged("damaged checkpoint", refused, detail, "report it")
    else:
        yield Finding("damaged checkpoint", Verdict.WRONG, "read as if it were whole", "report it")
    damaged.unlink()
    try:
        _run(replace(options, resume=str(written[start])))
    except Exception as error:  # a run may fail in any way
        yield Finding(name, Verdict.WRONG, f"could not be resumed: {one_line(error)}", "report it")
        return
    steps = [record["step"] for record in _log(work_dir)]
    yield Finding.judged(
        name,
        steps[ITERATIONS:] == [*range(start + 1, ITERATIONS + 1)],
        f"written, and resumed from iteration {start} to {steps[-1]}",
    )


def _trainings(folder: Path) -> tuple[tuple[str, RunOptions], ...]:
    return ("Mask R-CNN", detector_options(folder)), ("UperNet", segmenter_options(folder))


def detector_options(folder: Path) -> RunOptions:
    """Return the options of a small detector's training, and make its data set if it is missing."""
    data = folder / "shapes"
    if not data.exists():
        with quiet():
            make_shapes(data, PICTURES, VALIDATED, SIDE)
    return replace(
        _SMALL,
        config=recipe_file(DETECTOR),
        data_root=str(data),
        classes=CLASSES,
        ann_train="annotations/instances_train.json",
        ann_val="annotations/instances_val.json",
        work_dir=str(folder / "detector"),
        cfg_options={**_SMALL.cfg_options, **_SMALL_DETECTOR},
    )


def segmenter_options(folder: Path) -> RunOptions:
    """Return the options of a small segmenter's training, and make its data set if need be."""
    data = folder / "label_maps"
    if not data.exists():
        _make_label_maps(data)
    return replace(
        _SMALL,
        config=recipe_file(SEGMENTER),
        data_root=str(data),
        classes=("ground", *CLASSES),
        ann_train="labels/train",
        ann_val="labels/val",
        work_dir=str(folder / "segmenter"),
        cfg_options={**_SMALL.cfg_options, **_SMALL_SEGMENTER},
    )


def _make_label_maps(folder: Path) -> None:
    for split, count in (("train", PICTURES), ("val", VALIDATED)):
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True)
        for index in range(count):
            rng = np.random.default_rng((len(split), index))
            picture, objects = draw_scene(rng, SIDE)
            labels = np.zeros((SIDE, SIDE), np.uint8)
            for label, mask, _ in objects:
                labels[mask] = label + 1
            cv2.imwrite(str(folder / "images" / split / f"{index}.jpg"), picture)
            cv2.imwrite(str(folder / "labels" / split / f"{index}.png"), labels)


def _train(name: str, options: RunOptions) -> Finding:
    """Train, and see whether the loss falls."""
    start = perf_counter()
    try:
        _run(options)
        losses = [record["loss"] for record in _log(Path(str(options.work_dir)))]
    except Exception as error:  # a run may fail in any way
        return Finding(name, Verdict.WRONG, one_line(error), "the line says what is wrong")
    quarter = max(len(losses) // 4, 1)
    first, last = mean(losses[:quarter]), mean(losses[-quarter:])
    return Finding.judged(
        name,
        last < first,
        f"loss {first:.2f} to {last:.2f} in {ITERATIONS} iterations, "
        f"{perf_counter() - start:.0f} s",
        "run it again; if the loss still does not fall, report this line",
    )


def _run(options: RunOptions) -> None:
    """Train without a word: what is wrong comes as an exception."""
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train(options)


def _log(work_dir: Path) -> list[dict]:
    """Return the logged training records of a work directory's runs, in their order."""
    files = sorted(work_dir.glob("*/vis_data/scalars.json"))
    records = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return [record for record in records if "loss" in record]
