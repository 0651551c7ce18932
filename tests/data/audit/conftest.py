"""The config that the data sets of the tests are checked under."""

from __future__ import annotations

import pytest

from convnext_dense.config.steps.data import retarget


@pytest.fixture
def cfg_on(mask_rcnn):
    """A Mask R-CNN on a data set in COCO's format; flags may be overridden."""
    flags = dict(
        classes="cat,dog",
        ann_train="annotations/instances_train.json",
        ann_val="annotations/instances_val.json",
    )
    return lambda root, **others: retarget(mask_rcnn, data_root=str(root), **{**flags, **others})
