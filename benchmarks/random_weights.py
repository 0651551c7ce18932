"""Random weights with which a detector finds as much as a trained one, with distinct scores."""

from __future__ import annotations

import functools
import re

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.hooks import RemovableHandle

# The deviation of what moves boxes, as after training: a fifth of their size.
MOVE = 0.2
# The deviation of logits of classes: from hardly to nearly sure, but none so sure that many are 1.
SURE = 1.5
# The part of their deviation that branches beside a shortcut add.
BRANCH = 0.3
# The same for attention in a Mask2Former, whose layers make the queries more alike one by one.
MIX = 0.03
# What follows a layer's name in lists and small networks: ``rtm_reg.0``, ``bbox_embed.0.layers.2``.
_PLACE = re.compile(r"(\.layers|\.\d+)+$")
# What layers of scores and of boxes have in their names, of mmdet's heads and of transformers'.
_KINDS = dict.fromkeys(("cls", "class_embed", "class_predictor", "score_head"), SURE)
_KINDS |= dict.fromkeys(("reg", "bbox_embed", "bbox_head"), MOVE)
# Layers of a Mask2Former, by mmdet's names and by transformers'.
_QUERIES = ("query_feat", "queries_features")
_CLASSES = ("cls_embed", "class_predictor")
_MASKS = ("mask_feature", "mask_projection")
_ATTENTION = "out_proj"


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
            nn.init.constant_(module.gamma, BRANCH)
    for name, parameter in model.named_parameters():
        if name.endswith("level_embed"):  # of a DETR, which has no values before a training
            nn.init.normal_(parameter, generator=generator)


@torch.no_grad()
def settle_norms(graph: nn.Module, picture: torch.Tensor) -> None:
    """Set the statistics of batch norms to those of a picture, in place.

    Args:
        graph: A module in evaluation mode, which runs a whole model.
        picture: Its input.
    """

    def fit(norm: _BatchNorm, inputs: tuple[torch.Tensor]) -> None:
        values = inputs[0].transpose(0, 1).flatten(1)
        if values.shape[1] > 1:
            variance, mean = torch.var_mean(values, 1)
        else:  # one place has no variance: the channels are taken together
            variance, mean = values.square().mean(), values.new_zeros(())
        norm.running_var.copy_(variance.expand_as(norm.running_var))
        norm.running_mean.copy_(mean.expand_as(norm.running_mean))

    norms = [module for module in graph.modules() if isinstance(module, _BatchNorm)]
    hooks = [norm.register_forward_pre_hook(fit) for norm in norms]
    graph(picture)
    for hook in hooks:
        hook.remove()


@torch.no_grad()
def settle(graph: nn.Module, picture: torch.Tensor) -> None:
    """Fit norms, scores and boxes of random weights to a picture, in place.

    Else values grow from layer to layer, until many scores are 1 and boxes have thousands of
    pixels: what is found then hangs on the last digits of float32, also in PyTorch itself.

    Args:
        graph: A module in evaluation mode, which runs a whole model.
        picture: Its input.
    """

    def fit(wanted: float, layer: nn.Module, inputs: tuple, output: torch.Tensor) -> torch.Tensor:
        hooks.pop(layer).remove()  # levels that share a layer have its scale in the first one
        scale = wanted / output.std()
        layer.weight.mul_(scale)
        layer.bias.mul_(scale)
        return output * scale

    hooks: dict[nn.Module, RemovableHandle] = {}
    for name, module in graph.named_modules():
        kind = _PLACE.sub("", name).rpartition(".")[2]
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            for part, wanted in _KINDS.items():
                if part in kind:
                    hooks[module] = module.register_forward_hook(functools.partial(fit, wanted))
        elif kind == "bn3":  # the last one of a ResNet's branch
            nn.init.constant_(module.weight, BRANCH)
        elif kind == "query_embedding":
            # DINO gives them out by the rank of scores, of which neighbours are equal but for the
            # last digits: equal ones let them change places.
            module.weight.copy_(module.weight[:1].expand_as(module.weight))
    settle_norms(graph, picture)
    for hook in hooks.values():
        hook.remove()


@torch.no_grad()
def spread_queries(graph: nn.Module, picture: torch.Tensor, seed: int = 0) -> None:
    """Make the queries of a Mask2Former differ in class and mask, in place.

    With random weights, layer after layer of attention makes them the same in all queries: the two
    best classes of a pixel then differ in the last digits only. Other models stay as they are.

    Args:
        graph: A module in evaluation mode, which runs a whole model.
        picture: Its input, for which classes and masks then lie around zero.
        seed: The weights depend on it.
    """

    def centre(layer: nn.Module, inputs: tuple, output: torch.Tensor) -> torch.Tensor:
        channel = 1 if isinstance(layer, nn.Conv2d) else -1
        mean = output.transpose(0, channel).flatten(1).mean(1)
        centred = output - (mean[:, None, None] if channel == 1 else mean)
        # The logits of masks are sums of products over all channels of their features.
        wanted = SURE / len(mean) ** 0.5 if channel == 1 else SURE
        scale = wanted / centred.std()
        layer.bias.sub_(mean).mul_(scale)
        layer.weight.mul_(scale)
        return centred * scale

    layers = [(name.rpartition(".")[2], module) for name, module in graph.named_modules()]
    if not any(kind in _MASKS for kind, _ in layers):
        return
    generator = torch.Generator().manual_seed(seed)
    hooks = []
    for kind, module in layers:
        if kind in _QUERIES:
            nn.init.normal_(module.weight, std=3, generator=generator)
        elif kind == _ATTENTION:
            module.weight.mul_(MIX)
            module.bias.mul_(MIX)
        elif kind in (*_CLASSES, *_MASKS):
            hooks.append(module.register_forward_hook(centre))
    graph(picture)
    for hook in hooks:
        hook.remove()
