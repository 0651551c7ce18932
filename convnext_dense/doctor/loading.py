"""How many pictures a second a recipe's training data arrives at."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
from mmengine.runner import Runner

from convnext_dense.config.options import RunOptions
from convnext_dense.config.plan import USE, plan_run
from convnext_dense.config.runner import config_of_runner
from convnext_dense.doctor.finding import Examination, Finding, Verdict
from convnext_dense.doctor.training import DETECTOR
from convnext_dense.limits import count_cores
from convnext_dense.patches import enable
from convnext_dense.swap.trial import quiet
from convnext_dense.zoo.recipes import recipe_file

# As in COCO.
HEIGHT, WIDTH = 480, 640
PICTURES = 16
# Pictures a second of one process. On one core of this kind of machine 10 to 20 were seen.
LEAST_RATE = 3.0
# Of what the processes could load if they did not disturb each other.
LEAST_SHARE = 0.3


def check_loading(examination: Examination) -> Iterator[Finding]:
    """Time the published training pipeline of a detector, in one process and in several."""
    _make_pictures(examination.folder / "pictures")
    alone = _rate(examination.folder / "pictures", 0)
    workers = min(examination.workers, count_cores())
    together = _rate(examination.folder / "pictures", workers) if workers else alone
    name = f"data loader, {WIDTH}x{HEIGHT} to 1333x800"
    detail = f"{together:.0f} pictures a second from {workers} processes, {alone:.0f} from one"
    figures = {"pictures_per_second": together, "one_process": alone}
    if alone < LEAST_RATE:
        remedy = "a faster disk, or smaller pictures; look at what reads and decodes them"
        yield Finding(name, Verdict.SLOW, detail, remedy, figures)
    elif together < LEAST_SHARE * alone * max(workers, 1):
        remedy = "other work on the machine, or too little shared memory; try other `workers`"
        yield Finding(name, Verdict.SLOW, detail, remedy, figures)
    else:
        yield Finding(name, Verdict.FIT, detail, figures=figures)


def _rate(folder: Path, workers: int) -> float:
    """Return the pictures a second, after the processes have started."""
    options = RunOptions(
        recipe_file(DETECTOR),
        data_root=str(folder),
        classes=("thing",),
        ann_train="train.json",
        ann_val="train.json",
        batch_size=2,
        cfg_options={
            "train_dataloader.num_workers": workers,
            "train_dataloader.persistent_workers": bool(workers),
        },
    )
    enable()
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cfg = config_of_runner(plan_run(options, USE))  # with the loading that runs have
        loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
        batches = iter(loader)
        next(batches)
        start = perf_counter()
        count = sum(len(batch["inputs"]) for batch in batches)
    return count / (perf_counter() - start)


def _make_pictures(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for index in range(PICTURES):
        # Smooth like a photograph: noise alone takes longer to decode.
        small = rng.integers(0, 255, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{index}.jpg"), cv2.resize(small, (WIDTH, HEIGHT)))
        images.append(dict(id=index, file_name=f"{index}.jpg", height=HEIGHT, width=WIDTH))
        for number in range(5):
            x, y, side = 20 + 100 * number, 40 + 50 * number, 90
            annotations.append(
                dict(
                    id=5 * index + number + 1,
                    image_id=index,
                    category_id=1,
                    bbox=[x, y, side, side],
                    area=side * side,
                    iscrowd=0,
                    segmentation=[[x, y, x + side, y, x + side, y + side, x, y + side]],
                )
            )
    content = dict(images=images, annotations=annotations, categories=[dict(id=1, name="thing")])
    (folder / "train.json").write_text(json.dumps(content))
