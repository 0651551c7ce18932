"""Measure how the training data of a config reaches the trainer, with mmdet's masks and ours.

    python benchmarks/data_loader.py CONFIG [--workers N] [--pause S] [data flags]

Both run in turns on the same batches. The columns are

pictures   a second, where the trainer takes each batch at once
busy       the share of that time in which a worker loads pictures, on average
receive    ms of the trainer for a batch that the workers had `--pause` seconds to get ready
prepare    ms of the data preprocessor, which pads the masks, for a batch
targets    ms of the mask head's targets, for 128 RoIs in each image of a batch
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from multiprocessing.reduction import ForkingPickler

import cv2
import torch
from mmengine.registry import DATASETS, MODELS, DefaultScope
from mmengine.runner import Runner
from torch import Tensor

import convnext_dense  # noqa: F401  first, since it makes mmdet importable
from convnext_dense.benchmark.models import Phases
from convnext_dense.cli.options import add_config_options, add_data_options, run_options
from convnext_dense.config.plan import USE, plan_run
from convnext_dense.upstream import bitmap_masks

PHASES = ("receive", "prepare", "targets")
COLUMNS = ("pictures", "busy", *PHASES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("config")
    parser.add_argument("--pause", type=float, default=0.3, help="default: 0.3")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--batches", type=int, default=60, help="in a round; default: 60")
    add_data_options(parser, batches=True)
    add_config_options(parser)
    parser.set_defaults(workers=2)
    args = parser.parse_args()
    if args.workers < 1:
        parser.error("--workers is at least 1: the trainer waits for all that it loads itself")
    warnings.filterwarnings("ignore")
    cv2.setNumThreads(0)  # as mmdet's recipes have it
    cfg = plan_run(run_options(args), USE, print).config
    cfg.train_dataloader.update(num_workers=args.workers, persistent_workers=False)
    cfg.train_dataloader.sampler = dict(type="InfiniteSampler", shuffle=True)
    with DefaultScope.overwrite_default_scope("mmdet"):
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        preprocessor = MODELS.build(cfg.model.data_preprocessor)
    busy = count_seconds_of(dataset)
    contenders = {"mmdet's": as_mmdet_has_them(), "ours": mend}
    rows: dict[str, list[tuple[float, ...]]] = {title: [] for title in contenders}
    for _ in range(args.rounds):
        for title, install in contenders.items():
            install()
            with DefaultScope.overwrite_default_scope("mmdet"):
                loader = dict(cfg.train_dataloader, dataset=dataset)
                batches = iter(Runner.build_dataloader(loader, seed=0))
            for _ in range(2 * args.workers):  # until all work
                next(batches)
            measured = at_once(islice(batches, args.batches), busy, args.workers)
            phases = [step(batches, preprocessor, args.pause) for _ in range(args.batches)]
            measured += tuple(1000 * statistics.mean(p[name] for p in phases) for name in PHASES)
            rows[title].append(measured)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {args.workers} workers")
    print(f"{'masks':<9}" + "".join(f"{column:>10}" for column in COLUMNS))
    for title, rounds in rows.items():
        medians = [statistics.median(values) for values in zip(*rounds, strict=True)]
        print(f"{title:<9}" + "".join(f"{value:>10.3g}" for value in medians))


def mend() -> None:
    from mmdet.structures.mask import structures

    bitmap_masks.mend(structures)


def as_mmdet_has_them() -> Callable[[], None]:
    """Return a function that undoes :func:`mend`; call it before that."""
    from mmdet.structures.mask import BitmapMasks

    names = ("__init__", "pad", "crop_and_resize")
    methods = {name: getattr(BitmapMasks, name) for name in names}

    def restore() -> None:
        for name, method in methods.items():
            setattr(BitmapMasks, name, method)
        ForkingPickler.register(BitmapMasks, lambda masks: masks.__reduce_ex__(2))

    return restore


def count_seconds_of(dataset: torch.utils.data.Dataset) -> multiprocessing.Value:
    """Make a data set add up, over all processes, the time that it takes to load."""
    seconds = multiprocessing.Value("d", 0.0)

    class Timed(type(dataset)):
        def __getitem__(self, index: int) -> dict:
            start = time.perf_counter()
            sample = super().__getitem__(index)
            with seconds.get_lock():
                seconds.value += time.perf_counter() - start
            return sample

    dataset.__class__ = Timed
    return seconds


def at_once(
    batches: Iterable[dict], busy: multiprocessing.Value, workers: int
) -> tuple[float, float]:
    busy.value = 0.0
    start = time.perf_counter()
    pictures = sum(len(batch["inputs"]) for batch in batches)
    taken = time.perf_counter() - start
    return pictures / taken, busy.value / taken / workers


def step(batches: Iterator[dict], preprocessor: torch.nn.Module, pause: float) -> dict[str, float]:
    """Return the seconds that a trainer spends on the truth of a batch, by phase."""
    phase = Phases(torch.device("cpu"))
    time.sleep(pause)
    with phase("receive"):
        batch = next(batches)
    with phase("prepare"):
        data = preprocessor(batch, True)
    truth = [sample.gt_instances for sample in data["data_samples"]]
    rois = [near(instances.bboxes) for instances in truth]
    with phase("targets"):
        mask_targets(truth, rois)
    return phase.seconds


def near(boxes: Tensor, count: int = 128) -> tuple[Tensor, Tensor]:
    """Return RoIs much as a head samples them, and the objects they are assigned to."""
    if len(boxes) == 0:  # a crop may hold none
        return boxes, torch.empty(0, dtype=torch.long)
    objects = torch.randint(len(boxes), (count,))
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    return boxes[objects] + 0.1 * torch.randn(count, 4) * sides[objects], objects


def mask_targets(truth: list, rois: list[tuple[Tensor, Tensor]]) -> None:
    from mmdet.structures.mask import mask_target
    from mmengine.config import ConfigDict

    boxes, objects = zip(*rois, strict=True)
    masks = [instances.masks for instances in truth]
    mask_target(list(boxes), list(objects), masks, ConfigDict(mask_size=28))


if __name__ == "__main__":
    main()
