"""Find the backbone and the number of classes of a model that takes a checkpoint's parameters."""

from __future__ import annotations

from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import nn

from convnext_dense.backbone.convnext import ConvNeXt
from convnext_dense.backbone.resnet_to_convnext import ResNetToConvNeXt


def unwrap_model(model: nn.Module) -> nn.Module:
    """Return a model without wrappers for several devices or for test-time augmentation."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        inner = model.module
        assert isinstance(inner, nn.Module)
        model = inner
    return model


def find_backbones(model: nn.Module) -> dict[str, ConvNeXt]:
    """Return the ConvNeXts in a model by the prefix of their parameters; empty for the model."""
    return {path: part for path, part in _ours(model).items() if isinstance(part, ConvNeXt)}


def find_backbone(model: nn.Module) -> tuple[str, ConvNeXt | ResNetToConvNeXt]:
    """Return the prefix of the parameters of the one backbone of ours in a model, and the backbone.

    Raises:
        ValueError: If there is none, or more than one.
    """
    found = _ours(model)
    if len(found) != 1:
        raise ValueError(
            f"a {type(model).__name__} has {len(found)} ConvNeXt backbones, and weights load into "
            "one: give the backbone itself"
        )
    return next(iter(found.items()))


def _ours(model: nn.Module) -> dict[str, ConvNeXt | ResNetToConvNeXt]:
    return {
        f"{name}." if name else "": part
        for name, part in model.named_modules()
        if isinstance(part, (ConvNeXt, ResNetToConvNeXt))
    }


def count_classes(model: nn.Module) -> int:
    """Return the number of classes of a model's heads, or 0 if they do not state it."""
    counts = (getattr(module, "num_classes", None) for module in model.modules())
    # The largest number, since a region proposal head counts one class.
    return max((count for count in counts if isinstance(count, int)), default=0)
