"""Two operators that a traced model calls, and the standard ones of ONNX that they become.

In plain torch they are mmcv's. Traced, each is one node, which the exporter replaces.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from torch import Tensor

OPSET = 18
# Of torch's tracer, without types there.
Graph: TypeAlias = Any
Value: TypeAlias = Any


@torch.library.custom_op("convnext_dense::nms", mutates_args=())
def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, most: int) -> Tensor:
    """Suppress boxes that overlap a box of a higher score, and those with score 0.

    Args:
        boxes: (N, 4) as x1, y1, x2, y2.
        scores: (N,), 0 or more.
        iou_threshold: A box goes if its IoU with a kept box of a higher score exceeds this.
        most: Most boxes that are kept.

    Returns:
        Indices of the kept boxes by falling score, int64 of shape (K,).
    """
    from mmcv.ops.nms import NMSop

    rows = scores.nonzero().squeeze(1)
    keep = NMSop.apply(boxes[rows], scores[rows], iou_threshold, 0, 0.0, most)
    return rows[keep]


@torch.library.custom_op("convnext_dense::roi_align", mutates_args=())
def roi_align(
    features: Tensor,
    rois: Tensor,
    height: int,
    width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: str,
    aligned: bool,
) -> Tensor:
    """Average features in a grid over each RoI, as ``mmcv.ops.roi_align``.

    Args:
        features: (N, C, H, W).
        rois: (K, 5): the picture's number, x1, y1, x2, y2.
        height: Of the grid.
        width: Of the grid.
        spatial_scale: Cells of the features per pixel of the RoIs.
        sampling_ratio: Samples per cell and axis; 0: as many as features in it.
        pool_mode: ``avg`` or ``max``.
        aligned: Whether coordinates are of the cells' corners.

    Returns:
        (K, C, height, width).
    """
    from mmcv.ops.roi_align import RoIAlignFunction

    return RoIAlignFunction.apply(
        features, rois, (height, width), spatial_scale, sampling_ratio, pool_mode, aligned
    )


def register() -> None:
    """Register with torch's exporter what the two operators become; may be called again."""
    torch.onnx.register_custom_op_symbolic("convnext_dense::nms", _nms_to_onnx, OPSET)
    torch.onnx.register_custom_op_symbolic("convnext_dense::roi_align", _roi_align_to_onnx, OPSET)


def _nms_to_onnx(g: Graph, boxes: Value, scores: Value, iou_threshold: Value, most: Value) -> Value:
    from torch.onnx import symbolic_helper as helper

    # OpenVINO must see that boxes have four values.
    boxes = g.op("Reshape", boxes, _constant(g, [1, -1, 4]))
    scores = g.op("Reshape", scores, _constant(g, [1, 1, -1]))
    selected = g.op(
        "NonMaxSuppression",
        boxes,
        scores,
        _constant(g, [helper._get_const(most, "i", "most")]),
        g.op("Constant", value_t=torch.tensor([helper._get_const(iou_threshold, "f", "iou")])),
        g.op("Constant", value_t=torch.tensor([0.0])),
    )
    # Columns: picture, class, box.
    return g.op("Gather", selected, g.op("Constant", value_t=torch.tensor(2)), axis_i=1)


def _roi_align_to_onnx(
    g: Graph,
    features: Value,
    rois: Value,
    height: Value,
    width: Value,
    spatial_scale: Value,
    sampling_ratio: Value,
    pool_mode: Value,
    aligned: Value,
) -> Value:
    from torch.onnx import symbolic_helper as helper

    def columns(start: int, end: int) -> Value:
        axis = _constant(g, [1])
        return g.op("Slice", rois, _constant(g, [start]), _constant(g, [end]), axis)

    numbers = g.op("Cast", columns(0, 1), to_i=torch.onnx.TensorProtoDataType.INT64)
    is_aligned = helper._get_const(aligned, "b", "aligned")
    boxes = g.op("Reshape", columns(1, 5), _constant(g, [-1, 4]))
    there = None
    if is_aligned:
        # A box without an area has no samples: mmcv and ONNX Runtime return 0, OpenVINO 0 / 0.
        sides = g.op("Sub", columns(3, 5), columns(1, 3))
        side = g.op("ReduceMin", sides, _constant(g, [1]), keepdims_i=1)
        there = g.op("Greater", side, _constant(g, [0.0]))
        boxes = g.op("Where", there, boxes, _constant(g, [0.0, 0.0, 1.0, 1.0]))
    found = g.op(
        "RoiAlign",
        features,
        boxes,
        g.op("Reshape", numbers, _constant(g, [-1])),
        output_height_i=helper._get_const(height, "i", "height"),
        output_width_i=helper._get_const(width, "i", "width"),
        spatial_scale_f=helper._get_const(spatial_scale, "f", "spatial_scale"),
        sampling_ratio_i=helper._get_const(sampling_ratio, "i", "sampling_ratio"),
        mode_s=helper._get_const(pool_mode, "s", "pool_mode"),
        coordinate_transformation_mode_s="half_pixel" if is_aligned else "output_half_pixel",
    )
    if there is None:
        return found
    there = g.op("Reshape", there, _constant(g, [-1, 1, 1, 1]))
    return g.op("Where", there, found, _constant(g, [0.0]))


def _constant(g: Graph, values: list[int] | list[float]) -> Value:
    return g.op("Constant", value_t=torch.tensor(values))
