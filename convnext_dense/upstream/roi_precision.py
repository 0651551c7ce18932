"""RoI coordinates in float32 under autocast.

Fault: mmdet 3.x's ``SingleRoIExtractor`` casts RoIs to the type of the feature maps. Under autocast
that rounds coordinates: in bfloat16 to 2 pixels from 256 on and to 8 from 1024 on, in float16 to 1
pixel from 1024 on. mmdet 2.x, which the published models were trained with, pooled in float32.
Reach: ``SingleRoIExtractor`` of mmdet, for all code in the process, from the start of a run on, if
feature maps have half precision.
Off-switch: its name.
End: when mmdet keeps its RoIs in float32.
"""

from __future__ import annotations

import functools
from types import ModuleType

import torch
from torch import Tensor, nn

HALF = (torch.float16, torch.bfloat16)


def mend(module: ModuleType) -> None:
    """Make the ``SingleRoIExtractor`` of its module pool in float32; safe to repeat."""
    forward = module.SingleRoIExtractor.forward
    if hasattr(forward, "__wrapped__"):
        return

    @functools.wraps(forward)
    def in_float32(
        self: nn.Module,
        feats: tuple[Tensor, ...],
        rois: Tensor,
        roi_scale_factor: float | None = None,
    ) -> Tensor:
        dtype = feats[0].dtype
        if dtype not in HALF:
            return forward(self, feats, rois, roi_scale_factor)
        feats = tuple(feat.float() for feat in feats)
        return forward(self, feats, rois.float(), roi_scale_factor).to(dtype)

    module.SingleRoIExtractor.forward = in_float32
