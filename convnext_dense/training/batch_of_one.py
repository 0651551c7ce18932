"""Refuse batches of one image where a batch norm's maps have only one pixel.

After pooling to 1 x 1 (PSPHead, UPerHead, ASPPHead, ...) the norm has a single value per channel.
torch refuses that, but only in the middle of the first step.
"""

from __future__ import annotations

import logging
from collections.abc import Sized
from functools import partial
from typing import cast

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.logging import print_log
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from convnext_dense.analysis.flops import DETECTION_SHAPE
from convnext_dense.analysis.meta_device import build_without_data
from convnext_dense.analysis.parts import run_parts
from convnext_dense.config.data.image_size import training_crop
from convnext_dense.data.batches import smallest_batch

NAMED = 3


def check_batch_of_one(cfg: Config, model: nn.Module, loader: DataLoader) -> None:
    """Refuse training with batches of one image if a batch norm would get one value per channel.

    Args:
        cfg: The run's config.
        model: The run's model. It is not run.
        loader: The run's training loader.

    Raises:
        ValueError: If there is such a layer; the message names it, and a remedy.
    """
    if smallest_batch(loader) > 1 or not any(map(_sees_one_process, model.modules())):
        return
    layers = _layers_of_one_value(cfg, model)
    if not layers:
        return
    named = ", ".join(layers[:NAMED])
    more = f" and {len(layers) - NAMED} more" if len(layers) > NAMED else ""
    if loader.batch_size == 1:
        cause, remedy = "train_dataloader.batch_size is 1", "2 or more images in a batch"
    else:
        images = len(cast(Sized, loader.dataset))
        cause = f"the last batch of an epoch holds one of the {images} images"
        remedy = "train_dataloader.drop_last=True"
    norm = f"model.{layers[0].partition('.')[0]}.norm_cfg"
    raise ValueError(
        f"{cause}, and batch norm cannot train on one image where its map is 1 x 1 pixel, in "
        f"{named}{more}: use {remedy}, or group norm ({norm}.type=GN {norm}.num_groups=32)"
    )


def _sees_one_process(module: nn.Module) -> bool:
    """Whether a layer is a batch norm over the values of this process only."""
    is_shared = isinstance(module, nn.SyncBatchNorm) and get_world_size() > 1
    return isinstance(module, _BatchNorm) and not is_shared


def _layers_of_one_value(cfg: Config, model: nn.Module) -> list[str]:
    """Name the batch norms in training mode that get a single value per channel.

    This runs a copy of the model on tensors without data. If that fails, no layer is named.
    """
    found: list[str] = []

    def look(name: str, layer: nn.Module, inputs: tuple) -> None:
        if inputs[0].numel() == inputs[0].shape[1]:
            found.append(name)

    alone = {n.removeprefix("module.") for n, m in model.named_modules() if _sees_one_process(m)}
    copy = build_without_data(cfg).train()
    for name, layer in copy.named_modules():
        # Frozen ones use the statistics they have learnt.
        if name in alone and isinstance(layer, _BatchNorm) and layer.training:
            layer.register_forward_pre_hook(partial(look, name))
    image = torch.empty(
        1, cfg.model.backbone.get("in_channels", 3), *_training_shape(cfg), device="meta"
    )
    try:
        with torch.no_grad():
            run_parts(copy.eval(), image)
    except Exception as error:  # somebody else's model may raise anything
        message = f"batch norm was not tried on one image: {error}"
        print_log(message, logger="current", level=logging.DEBUG)
    return found


def _training_shape(cfg: Config) -> tuple[int, int]:
    size = (cfg.model.get("data_preprocessor") or {}).get("size")
    if size:
        return tuple(size)
    try:
        return (training_crop(cfg),) * 2
    except ValueError:  # nothing is cropped
        return DETECTION_SHAPE
