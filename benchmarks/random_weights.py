"""Random weights with which a detector finds as much as a trained one, with distinct scores."""

from __future__ import annotations

import re

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

# The part of their size by which boxes are moved, as after training.
MOVE = 0.2
# The number of a level, for which a head has layers of its own: ``rtm_reg.0``.
_LEVEL = re.compile(r"\.\d+$")


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
            if "reg" in _LEVEL.sub("", name).rpartition(".")[2]:
                deviation *= MOVE
            nn.init.normal_(module.weight, std=deviation, generator=generator)
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.1, generator=generator)
        elif isinstance(getattr(module, "gamma", None), nn.Parameter):
            nn.init.constant_(module.gamma, 0.3)


def settle_norms(graph: nn.Module, picture: torch.Tensor) -> None:
    """Set the statistics of batch norms to those of a picture, in place.

    With the statistics that they are built with, values grow from layer to layer until all scores
    are 1.

    Args:
        graph: A module in evaluation mode, which runs a whole model.
        picture: Its input.
    """

    def settle(norm: _BatchNorm, inputs: tuple[torch.Tensor]) -> None:
        values = inputs[0].transpose(0, 1).flatten(1)
        if values.shape[1] > 1:
            variance, mean = torch.var_mean(values, 1)
        else:  # one place has no variance: the channels are taken together
            variance, mean = values.square().mean(), values.new_zeros(())
        norm.running_var.copy_(variance.expand_as(norm.running_var))
        norm.running_mean.copy_(mean.expand_as(norm.running_mean))

    norms = [module for module in graph.modules() if isinstance(module, _BatchNorm)]
    hooks = [norm.register_forward_pre_hook(settle) for norm in norms]
    with torch.no_grad():
        graph(picture)
    for hook in hooks:
        hook.remove()
