"""Measure RT-DETRv2 over ConvNeXt-T beside transformers' own, and beside DINO and RTMDet of mmdet.

    python benchmarks/heads.py infer|train [--size 640] [--batch 1] [--rounds 10] [--parts]

All are measured in turns, with random weights, in bfloat16 autocast. transformers' own has the same
weights in its ConvNeXt, and our translation of boxes before and after it; in prediction it stands
there twice, as it is and with its weights in the layout of our Predictor. RTMDet has the neck and
head of its large model. `--parts` says where the time of the first goes.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from torch import Tensor

import convnext_dense  # noqa: F401  first, since it makes mmdet importable
from convnext_dense.analysis.parts import find_parts
from convnext_dense.benchmark.models import measure_models
from convnext_dense.benchmark.report import models_text
from convnext_dense.heads.transformers.detector import TransformersDetector
from convnext_dense.heads.transformers.own_backbone import model_of_transformers
from convnext_dense.heads.transformers.translation import pixel_mask
from convnext_dense.registry import MODELS

CONFIGS = Path(__file__).parents[1] / "configs" / "det"
CPU = torch.device("cpu")


@MODELS.register_module()
class OwnOfTransformers(TransformersDetector):
    """The same detector, made of transformers alone between our translations."""

    def __init__(self, *, channels_last: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channels_last = channels_last
        theirs = model_of_transformers(self.backbone, self.head)
        del self.backbone
        self.head = theirs

    def loss(self, inputs: Tensor, samples: list) -> dict[str, Tensor]:
        targets = self.translation.targets(samples, inputs)
        return dict(loss=self.head(inputs, pixel_mask=pixel_mask(samples, inputs), **targets).loss)

    def predict(self, *args: Any, **kwargs: Any) -> list[DetDataSample]:
        if not self.channels_last:  # the measurement lays all models out as a Predictor does
            self.head.to(memory_format=torch.contiguous_format)
        return super().predict(*args, **kwargs)


def configs() -> dict[str, Config]:
    """Return the configs by title."""
    ours = Config.fromfile(CONFIGS / "rtdetrv2_convnext_t_coco.py")
    ours.model.data_preprocessor.pop("batch_augments", None)
    theirs = ours.copy()
    theirs.model = ours.model.copy()
    theirs.model.type = "convnext_dense.OwnOfTransformers"
    relaid = theirs.copy()
    relaid.model = ConfigDict(theirs.model, channels_last=True)
    dino = Config.fromfile(CONFIGS / "dino_convnext_t_coco.py")
    rtmdet = Config.fromfile(CONFIGS / "rtmdet_convnext_b_in22k_coco.py")
    rtmdet.model.backbone.update(arch="tiny", drop_path_rate=0.0, with_cp=False)
    rtmdet.model.neck.in_channels = [192, 384, 768]
    found = {"ours": ours, "transformers": theirs, "relaid": relaid, "DINO": dino, "RTMDet": rtmdet}
    for cfg in found.values():
        cfg.optim_wrapper.type = "CpuAmpOptimWrapper"
        cfg.optim_wrapper.dtype = "bfloat16"
    return found


def time_parts(cfg: Config, mode: str, size: int, batch: int, rounds: int) -> Counter[str]:
    """Return the seconds of each part in a prediction or training step, without those inside it."""
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = ROOT_MODELS.build(cfg.model).train(mode == "train")
    images, samples = torch.randn(batch, 3, size, size), made_samples(batch, size)
    spent: Counter[str] = Counter()
    running = ["other"]
    since = 0.0

    def switch(name: str | None = None) -> None:
        """Enter a part, or leave the innermost."""
        nonlocal since
        now = time.perf_counter()
        spent[running[-1]] += now - since
        since = now
        running.append(name) if name else running.pop()

    for name, modules in find_parts(model).items():
        for module in modules:
            module.register_forward_pre_hook(partial(enter, switch, name.partition(" stage")[0]))
            module.register_forward_hook(lambda *_: switch())
    loss_function = model.head.loss_function

    def timed_loss(*args: Any, **kwargs: Any) -> tuple:
        switch("losses")
        result = loss_function(*args, **kwargs)
        switch()
        return result

    model.head.loss_function = timed_loss
    for turn in range(rounds + 1):
        if turn == 1:  # the first is slower
            spent.clear()
        since = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16), torch.set_grad_enabled(mode == "train"):
            if mode == "infer":
                model.predict(images, samples)
            else:
                total, _ = model.parse_losses(model.loss(images, samples))
        if mode == "train":
            switch("backward")
            total.backward()
            switch()
        running[:] = ["other"]
        spent["other"] += time.perf_counter() - since
    return Counter({name: seconds / rounds for name, seconds in spent.items()})


def enter(switch: Callable[[str], None], name: str, *_: object) -> None:
    switch(name)


def made_samples(batch: int, size: int) -> list[DetDataSample]:
    """Return samples with 10 boxes each."""
    samples = []
    for _ in range(batch):
        meta = dict(img_shape=(size, size), ori_shape=(size, size), scale_factor=(1.0, 1.0))
        sample = DetDataSample(metainfo=meta)
        corners = torch.rand(10, 2, 2).sort(1).values * size
        sample.gt_instances = InstanceData(
            bboxes=corners.flatten(1), labels=torch.randint(80, (10,))
        )
        samples.append(sample)
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("mode", choices=("infer", "train"))
    parser.add_argument("--size", type=int, default=640)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--only", nargs="+", help="some of the titles")
    parser.add_argument("--parts", action="store_true", help="where the time of ours goes, instead")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    chosen = configs()
    if args.parts:
        spent = time_parts(chosen["ours"], args.mode, args.size, args.batch, args.rounds)
        for name, seconds in spent.most_common():
            print(f"{name:<24}{seconds * 1e3:>9.1f} ms{seconds / spent.total():>7.1%}")
        return
    chosen = {title: cfg for title, cfg in chosen.items() if not args.only or title in args.only}
    rows = measure_models(
        chosen,
        args.mode,
        CPU,
        "amp",
        shape=(args.size, args.size),
        batch=args.batch,
        rounds=args.rounds,
        say=print,
    )
    print(models_text(rows, CPU))


if __name__ == "__main__":
    main()
