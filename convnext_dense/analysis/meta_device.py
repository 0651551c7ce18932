"""Build and run models on the meta device, where tensors have a shape and no data."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only


def build_without_data(cfg: Config) -> nn.Module:
    """Build a config's model on the meta device, ready for inference.

    ``model`` may also be a part of one, such as a backbone.
    """
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope", "mmengine")), _EmptyOnMeta():
        model = MODELS.build(copy.deepcopy(cfg.model))  # DINO changes the dict that builds it
    model = revert_sync_batchnorm(model).to("meta")
    model.eval()  # the backbones of mmdet and mmseg return nothing
    return model


class _EmptyOnMeta(TorchFunctionMode):
    """Sends ``torch.empty``, where the weights of layers come from, to the meta device.

    ``with torch.device("meta")`` would send everything there, also the drop path rates, which
    several backbones of mmdet and mmseg compute with torch and read while they are built.
    """

    def __torch_function__(
        self, func: Callable, types: list[type], args: tuple = (), kwargs: dict | None = None
    ) -> object:
        kwargs = dict(kwargs or {})
        if func is torch.empty and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


class RealSizes(TorchFunctionMode):
    """Keeps the sizes of maps on the CPU while a model runs on the meta device.

    Deformable attention holds the height and width of each map in a tensor and splits by them, so
    that tensor needs its data. It moves to the meta device only where it meets a tensor from there.
    """

    def __torch_function__(
        self, func: Callable, types: list[type], args: tuple = (), kwargs: dict | None = None
    ) -> object:
        kwargs = dict(kwargs or {})
        if func is Tensor.to and _holds_sizes(args[0]):
            return args[0]
        if func is torch.empty and kwargs.get("dtype") is torch.long:  # transformers fills it in
            kwargs["device"] = "cpu"
        if any(isinstance(leaf, Tensor) and leaf.is_meta for leaf in tree_leaves((args, kwargs))):
            args, kwargs = tree_map_only(Tensor, _on_meta, (args, kwargs))
        return func(*args, **kwargs)


def _holds_sizes(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu" and not tensor.is_floating_point()


def _on_meta(tensor: Tensor) -> Tensor:
    # A single number mixes with any device, and may be a size that an operation reads.
    return tensor if tensor.is_meta or tensor.ndim == 0 else torch.empty_like(tensor, device="meta")
