"""Masks are pasted and resized as mmdet and torch do it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope

import convnext_dense  # noqa: F401  makes mmdet importable
from convnext_dense.patches import enable
from convnext_dense_runtime.masks import paste_masks, resize_masks

enable()


def of_mmdet(masks: np.ndarray, boxes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Paste probabilities by mmdet's mask head."""
    from mmdet.models.roi_heads.mask_heads import FCNMaskHead

    with DefaultScope.overwrite_default_scope("mmdet"):
        head = FCNMaskHead(num_convs=0, num_classes=1, class_agnostic=True)
    logits = torch.logit(torch.from_numpy(masks))[:, None]
    found = head._predict_by_feat_single(
        logits,
        torch.from_numpy(boxes.copy()),
        torch.zeros(len(boxes), dtype=torch.long),
        dict(ori_shape=shape, scale_factor=(1.0, 1.0)),
        ConfigDict(mask_thr_binary=0.5),
        rescale=True,
    )
    return found.numpy()


@pytest.mark.parametrize("grid", [(28, 28), (14, 7), (112, 112)])
def test_pasted_masks_are_those_of_mmdet(grid):
    rng = np.random.default_rng(0)
    centres = rng.uniform(0, [100, 80], (60, 2))
    sides = rng.uniform(1, 60, (60, 2))
    boxes = np.hstack([centres - sides / 2, centres + sides / 2]).astype(np.float32)
    boxes[0] = 0, 0, 100, 80  # the whole picture
    boxes[1] = 50.2, 20.7, 50.9, 21.1  # within a pixel
    boxes[2] = 30, 30, 30, 60  # without extent
    masks = rng.uniform(0.01, 0.99, (60, *grid)).astype(np.float32)
    pasted, wanted = paste_masks(masks, boxes, (80, 100), 0.5), of_mmdet(masks, boxes, (80, 100))
    assert wanted.any(axis=(1, 2)).sum() > 30
    # A pixel that is 0.5 but for rounding may differ.
    assert (pasted != wanted).sum() <= 2


def test_boxes_outside_of_the_picture_have_empty_masks():
    """mmdet raises an error for some of them."""
    boxes = np.array([[200, 200, 220, 230], [-50, -50, -20, -20], [90, -40, 300, -5]], np.float32)
    assert not paste_masks(np.ones((3, 28, 28), np.float32), boxes, (80, 100), 0.5).any()


def test_nothing_is_pasted_for_no_object():
    assert paste_masks(np.zeros((0, 28, 28), np.float32), np.zeros((0, 4)), (5, 7), 0.5).shape == (
        0,
        5,
        7,
    )


def test_masks_over_the_picture_are_resized_as_torch_does():
    logits = np.random.default_rng(0).normal(size=(3, 20, 31)).astype(np.float32)
    wanted = torch.nn.functional.interpolate(
        torch.from_numpy(logits)[None], (77, 90), mode="bilinear"
    )
    assert (
        resize_masks(logits, (77, 90), 0.1, logits.shape[1:]) != (wanted[0] > 0.1).numpy()
    ).mean() < 1e-4
