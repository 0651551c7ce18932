"""Compare the gradients of two ranks with those of one process; ``test_ranks.py`` starts it."""

from __future__ import annotations

import os
from unittest.mock import patch

import torch
from small import KINDS, batch, detector
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from two_ranks_masks import compare_masks

from convnext_dense.heads.transformers import box_losses, denoising

# Boxes of the images of each rank.
CASES = (((3, 1), (0, 0)), ((2, 0), (1, 5)), ((0, 0), (0, 0)))
TOLERANCE = 1e-5
# Noise would be drawn in another order.
NO_NOISE = dict(label_noise_ratio=0.0, box_noise_scale=0.0)


def gradients(model: nn.Module, run: nn.Module, images: torch.Tensor, samples: list) -> dict:
    model.zero_grad()
    losses = run(images, samples, mode="loss")
    model.parse_losses(losses)[0].backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}


def small(kind: str) -> nn.Module:
    denoises = not kind.startswith("deformable")
    model = detector(kind, **(NO_NOISE if denoises else {})).train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):  # each rank has statistics of its own
            module.eval()
    return model


def compare(kind: str, numbers: tuple) -> str:
    """Compare with one process, which is made of this one by leaving the group for it."""
    rank = int(os.environ["RANK"])
    images, samples = batch(*(one for ranks in numbers for one in ranks), padded=8)
    share = slice(2 * rank, 2 * rank + 2)
    model = small(kind)
    run = DistributedDataParallel(model)
    for _ in range(2):  # a parameter without a gradient fails in the second
        split = gradients(model, run, images[share], samples[share])
    torch.distributed.barrier()
    with (
        patch.object(box_losses, "get_world_size", lambda: 1),
        patch.object(denoising, "all_reduce", lambda *args: None),
    ):
        joint_model = small(kind)
        joint = gradients(joint_model, joint_model, images, samples)
    largest = max(one.abs().max() for one in joint.values())
    wrong = {
        name: float((one - split[name]).abs().max() / largest)
        for name, one in joint.items()
        if (one - split[name]).abs().max() > TOLERANCE * largest
    }
    return f"{kind} {numbers} " + (f"differs: {wrong}" if wrong else "equal")


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    for kind in KINDS:
        for numbers in CASES:
            print(compare(kind, numbers))
    compare_masks()
