"""Build the network that the parameters of a checkpoint belong to."""

from __future__ import annotations

import torch

from convnext_dense.backbone.convnext import ConvNeXt
from convnext_dense.checkpoints.find_convnext import FoundConvNeXt
from convnext_dense.checkpoints.report import is_output_norm
from convnext_dense.checkpoints.unusable_values import refuse_unusable
from convnext_dense.text import first_of


def build_network(found: FoundConvNeXt, norm_out: bool) -> ConvNeXt:
    """Build the backbone of a checkpoint, with all its stages as outputs.

    Args:
        found: The parameters, with at least the stem and the first block.
        norm_out: Whether to build output norms.
    """
    stages = len(found.arch.depths)
    return ConvNeXt(
        found.arch,
        in_channels=found.own["downsample_layers.0.0.weight"].shape[1],
        out_indices=tuple(range(stages)),
        kernel_size=found.own["stages.0.0.dwconv.weight"].shape[-1],
        layer_scale_init_value=float("stages.0.0.gamma" in found.own),
        output_stride=max(32, 2 ** (stages + 1)),
        norm_out=norm_out,
    )


def check_network(found: FoundConvNeXt, source: str) -> None:
    """Refuse a network with missing, unknown or unusable parameters, or one that differs from ours.

    Raises:
        RuntimeError: If the network is refused; the message names the parameters.
    """
    wrong = ["the stem"]
    if found.own.get("downsample_layers.0.0.weight", torch.empty(0)).ndim == 4:
        with torch.device("meta"):
            net = build_network(found, norm_out=False)
        wanted = {name: value.shape for name, value in net.state_dict().items()}
        own = {
            name: value.shape
            for name, value in found.own.items()
            if not is_output_norm(name) and not name.startswith(("norm.", "head."))
        }
        wrong = [name for name in wanted | own if wanted.get(name) != own.get(name)]
        wrong += list(found.unknown)
    if wrong or found.obstacle:
        reason = found.obstacle or f"missing, unknown or of a wrong shape: {first_of(wrong)}"
        raise RuntimeError(f"{source} does not hold a whole ConvNeXt: {reason}")
    refuse_unusable(found.own, source)
