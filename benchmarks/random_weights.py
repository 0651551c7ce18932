"""Random weights with which a detector finds as much as a trained one, with distinct scores."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

# The part of their size by which boxes are moved, as after training.
MOVE = 0.2


def spread_weights(model: nn.Module, seed: int = 0) -> None:
    """Set random weights that keep the size of values from layer to layer, in place.

    Freshly built heads give all boxes nearly the same score. Here scores are spread from 0 to 1.

    Args:
        model: A detector or segmenter.
        seed: The weights depend on it and on the model's layers alone.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear, nn.ConvTranspose2d)):
            deviation = (1.5 / module.weight[0].numel()) ** 0.5
            if "reg" in name.rpartition(".")[2]:
                deviation *= MOVE
            nn.init.normal_(module.weight, std=deviation, generator=generator)
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.1, generator=generator)
        elif isinstance(getattr(module, "gamma", None), nn.Parameter):
            nn.init.constant_(module.gamma, 0.3)


def settle_norms(model: nn.Module, picture: torch.Tensor) -> None:
    """Set the statistics of batch norms to those of a picture, in place.

    With random weights and the statistics that they are built with, values grow from layer to layer
    until all scores are 1.

    Args:
        model: A model of mmdet or mmseg.
        picture: (1, C, H, W), normalised.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum, norm.training = None, True
    with torch.no_grad():
        model(picture, mode="tensor")
    for norm in norms:
        norm.momentum, norm.training = 0.1, False
