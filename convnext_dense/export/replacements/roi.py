"""The features of RoIs, of which any number may lie on each level of the pyramid."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from convnext_dense.export import operators
from convnext_dense.export.replacements.replace import Upstream, replaces


@replaces("mmcv.ops.roi_align:RoIAlign.forward")
def roi_align(
    original: Callable,
    self: Upstream,
    input: Tensor,
    rois: Tensor,
) -> Tensor:
    """Return the features of RoIs (K, 5), (K, C, height, width)."""
    height, width = self.output_size
    return operators.roi_align(
        input,
        rois,
        height,
        width,
        self.spatial_scale,
        self.sampling_ratio,
        self.pool_mode,
        self.aligned,
    )


@replaces(
    "mmdet.models.roi_heads.roi_extractors.single_level_roi_extractor:SingleRoIExtractor.forward"
)
def extract(
    original: Callable,
    self: Upstream,
    feats: Sequence[Tensor],
    rois: Tensor,
    roi_scale_factor: float | None = None,
) -> Tensor:
    """Return the features of RoIs (K, 5), each from the level of its size."""
    levels = self.map_roi_levels(rois, len(feats))
    if roi_scale_factor is not None and len(feats) > 1:
        rois = self.roi_rescale(rois, roi_scale_factor)
    if len(feats) == 1:
        return self.roi_layers[0](feats[0], rois)
    rows = [(levels == level).nonzero().squeeze(1) for level in range(len(feats))]
    parts = [
        layer(level, rois[there])
        for layer, level, there in zip(self.roi_layers, feats, rows, strict=False)
    ]
    order = torch.cat(rows)
    places = torch.zeros_like(order).scatter(0, order, torch.arange(len(rois), device=order.device))
    return torch.cat(parts)[places]
