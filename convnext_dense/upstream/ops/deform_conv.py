"""Deformable convolution v1 without a compiled mmcv.

Fault: mmcv-lite has the Python half of ``mmcv.ops.deform_conv2d`` and not the functions of
``mmcv._ext`` that it calls. Can go when mmcv ships an operator that needs no compiler.

The arguments are those of mmcv's extension; mmcv passes the sizes by name. ``columns``, ``ones``
and ``im2col_step`` are scratch space of the compiled version, and are not used here.
"""

from __future__ import annotations

from torch import Tensor

from convnext_dense.upstream.ops import deformable
from convnext_dense.upstream.ops.deformable import Geometry


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    **sizes: int,
) -> None:
    """Write the convolution of ``input`` (N, C, H, W) into ``output`` (N, C_out, H_out, W_out)."""
    geometry = _geometry(sizes)
    output.copy_(deformable.forward(input, offset, None, weight, geometry))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradInput: Tensor,
    gradOffset: Tensor,
    weight: Tensor,
    columns: Tensor,
    **sizes: int,
) -> None:
    """Add the gradient of the input to ``gradInput`` and write that of the offset."""
    geometry = _geometry(sizes)
    grads = deformable.backward(gradOutput, input, offset, None, weight, geometry, of_weight=False)
    assert grads.input is not None and grads.offset is not None
    gradInput.add_(grads.input)
    gradOffset.copy_(grads.offset)


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradWeight: Tensor,
    columns: Tensor,
    ones: Tensor,
    *,
    scale: float,
    **sizes: int,
) -> None:
    """Add ``scale`` times the gradient of the weight to ``gradWeight``."""
    geometry = _geometry(sizes)
    # The gradient of the weight needs only its shape and type, which the buffer has.
    grads = deformable.backward(
        gradOutput, input, offset, None, gradWeight, geometry, of_samples=False
    )
    assert grads.weight is not None
    gradWeight.add_(grads.weight, alpha=scale)


def _geometry(sizes: dict[str, int]) -> Geometry:
    kernel, stride, padding, dilation = (
        (sizes[f"{name}H"], sizes[f"{name}W"]) for name in ("k", "d", "pad", "dilation")
    )
    return Geometry(kernel, stride, padding, dilation, sizes["group"], sizes["deformable_group"])
