"""Compare the gradients of heads of masks on two ranks; ``two_ranks.py`` calls it."""

from __future__ import annotations

import os
from unittest.mock import patch

import torch
from masks import MASK2FORMER, SEGMENTERS, instances, label_maps, model
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from convnext_dense.heads.transformers import label_maps as translation
from convnext_dense.heads.transformers import mask2former

TOLERANCE = 1e-5
POINTS = torch.rand(1000, 2, generator=torch.Generator().manual_seed(0))
KINDS = (
    *(("TransformersSegmentor", head) for head in SEGMENTERS.values()),
    ("TransformersDetector", MASK2FORMER),
)


def same_points(*size: int, device: object = None) -> torch.Tensor:
    """Draw the same points for each mask, whatever stands before it in the batch."""
    return POINTS[: size[1]].expand(size).clone()


def build(owner: str, head: dict) -> nn.Module:
    built = model(owner, head).train()
    for module in built.modules():
        if isinstance(module, nn.BatchNorm2d):  # each rank has statistics of its own
            module.eval()
    return built


def batches(owner: str) -> list[tuple]:
    if owner == "TransformersDetector":
        return [instances(3, 0), instances(2, 1)]
    found = []
    for empty in ((1,), (0, 1)):
        images, samples = label_maps((64, 96))
        for index in empty:
            samples[index].gt_sem_seg.data.fill_(255)
        found.append((images, samples))
    return found


def gradients(built: nn.Module, run: nn.Module, images: torch.Tensor, samples: list) -> dict:
    built.zero_grad()
    built.parse_losses(run(images, samples, mode="loss"))[0].backward()
    return {name: p.grad.clone() for name, p in built.named_parameters()}


def compare(owner: str, head: dict, images: torch.Tensor, samples: list) -> str:
    share = slice(int(os.environ["RANK"]), int(os.environ["RANK"]) + 1)
    built = build(owner, head)
    run = DistributedDataParallel(built)
    for _ in range(2):  # a parameter without a gradient fails in the second
        split = gradients(built, run, images[share], samples[share])
    alone = dict(all_reduce=lambda *args: None, get_world_size=lambda: 1)
    with patch.multiple(mask2former, **alone), patch.object(translation, "all_reduce", print_not):
        twin = build(owner, head)
        joint = gradients(twin, twin, images, samples)
    largest = max(one.abs().max() for one in joint.values())
    off = max(float((one - split[name]).abs().max() / largest) for name, one in joint.items())
    return f"{owner} {head['type']} " + (f"differs: {off}" if off > TOLERANCE else "equal")


def print_not(*args: object) -> None:
    """Stand in for a reduction over one process."""


def compare_masks() -> None:
    with patch.object(torch, "rand", same_points):
        for owner, head in KINDS:
            for images, samples in batches(owner):
                print(compare(owner, head, images, samples))
