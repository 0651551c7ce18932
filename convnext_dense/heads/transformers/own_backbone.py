"""Make the same model in transformers alone: its head over its own ConvNeXt."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from torch import nn

from convnext_dense.backbone import ConvNeXt
from convnext_dense.backbone.block import CeilConv2d
from convnext_dense.checkpoints.layouts import TRANSFORMERS
from convnext_dense.checkpoints.transformers_head import quietly

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


def model_of_transformers(backbone: nn.Module, head: PreTrainedModel) -> PreTrainedModel:
    """Return a model of transformers that computes what a backbone of ours and its head compute.

    Args:
        backbone: The backbone that the head reads.
        head: The head in a detector or segmenter of ours; it is not changed.

    Raises:
        ValueError: If transformers has no such backbone; the message says what it lacks.
    """
    from convnext_dense.heads.transformers.backbone import Maps

    if not isinstance(backbone, ConvNeXt):
        raise ValueError(f"transformers has no {type(backbone).__name__} that it could stand for")
    config = copy.deepcopy(head.config)
    config.backbone_config = _backbone_config(backbone)
    with quietly():
        model = type(head)(config)
    (place,) = (name for name, part in head.named_modules() if isinstance(part, Maps))
    own = TRANSFORMERS.write(backbone.state_dict(), backbone.arch)
    model.load_state_dict(
        head.state_dict() | {f"{place}.{name}": value for name, value in own.items()}
    )
    return model


def _backbone_config(backbone: ConvNeXt) -> PreTrainedConfig:
    import transformers

    stem: Any = backbone.downsample_layers[0]
    block: Any = next(iter(backbone.blocks_of(0)))
    has_scale = block.gamma is not None
    lacking = {
        "output_stride": backbone.out_strides[-1] != 4 * 2 ** backbone.out_indices[-1],
        "norm_out=False": not backbone.norm_out,
        "ceil_mode=True": isinstance(stem[0], CeilConv2d),
        "kernel_size": block.dwconv.kernel_size != (7, 7),
        "isotropic form": backbone.arch.isotropic,
        "layer scale in V2": backbone.arch.grn and has_scale,
    }
    if found := [what for what, is_so in lacking.items() if is_so]:
        raise ValueError(f"transformers' ConvNeXt has no {found[0]}")
    # No stage beyond the last output is built.
    built = backbone.num_built
    kind = transformers.ConvNextV2Config if backbone.arch.grn else transformers.ConvNextConfig
    return kind(
        num_channels=stem[0].in_channels,
        depths=list(backbone.arch.depths[:built]),
        hidden_sizes=list(backbone.arch.channels[:built]),
        out_features=[f"stage{index + 1}" for index in backbone.out_indices],
        **({} if backbone.arch.grn else dict(layer_scale_init_value=float(has_scale))),
    )
