"""Necks and heads that mmdet and mmseg lack, in the registries of both."""

from typing import TYPE_CHECKING

from convnext_dense.lazy import load_when_used

if TYPE_CHECKING:
    from convnext_dense.heads.linear_head import LinearHead
    from convnext_dense.heads.simple_feature_pyramid import SimpleFeaturePyramid

__all__ = ["LinearHead", "SimpleFeaturePyramid"]
__getattr__, __dir__ = load_when_used(
    __name__,
    {"LinearHead": ".linear_head", "SimpleFeaturePyramid": ".simple_feature_pyramid"},
)
