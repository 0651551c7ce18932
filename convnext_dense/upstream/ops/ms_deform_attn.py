"""Multi-scale deformable attention without a compiled mmcv.

Fault: on CUDA, mmcv's ``MultiScaleDeformableAttention`` calls functions of ``mmcv._ext`` that
mmcv-lite does not have, though it has a plain-torch version for the CPU. These functions call that
version. Can go when mmcv uses it wherever the extension is missing.

The arguments are those of mmcv's extension. The levels lie one after another in ``value``, so
``value_level_start_index`` follows from ``value_spatial_shapes``; ``im2col_step`` concerns the
compiled version alone.
"""

from __future__ import annotations

import torch
from torch import Tensor


def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Compute attention over a few sampled points per query.

    Args:
        value: (N, sum of H * W over the levels, heads, channels per head).
        value_spatial_shapes: (levels, 2), height and width of each.
        sampling_locations: (N, queries, heads, levels, points, 2), x and y in [0, 1] of the level.
        attention_weights: (N, queries, heads, levels, points).

    Returns:
        (N, queries, heads * channels per head).
    """
    return _attend(value, value_spatial_shapes, sampling_locations, attention_weights)


def ms_deform_attn_backward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Add the gradients of value, locations and weights to their buffers."""
    inputs = [t.detach().requires_grad_() for t in (value, sampling_locations, attention_weights)]
    with torch.enable_grad():
        output = _attend(inputs[0], value_spatial_shapes, *inputs[1:])
    grads = torch.autograd.grad(output, inputs, grad_output)
    for buffer, grad in zip((grad_value, grad_sampling_loc, grad_attn_weight), grads, strict=True):
        buffer.add_(grad)


def _attend(value: Tensor, spatial_shapes: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    # Imported here, since mmcv.ops imports this module's functions while it loads.
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    # A sampling position needs more than half precision has.
    dtype = torch.promote_types(value.dtype, torch.float32)
    output = multi_scale_deformable_attn_pytorch(
        value.to(dtype), spatial_shapes.tolist(), locations.to(dtype), weights.to(dtype)
    )
    return output.to(value.dtype)
