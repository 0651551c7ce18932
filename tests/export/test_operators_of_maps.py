"""What stands in for operators of maps that ONNX lacks, beside torch's own."""

import pytest
import torch
from mmdet.models.dense_heads import RTMDetInsSepBNHead
from mmdet.structures.mask import mask2bbox
from mmengine.registry import DefaultScope
from torch.nn import functional as F

from convnext_dense.export.replacements.picture_masks import bounds, dynamic_masks
from convnext_dense.export.replacements.pooling import pool_by_products


@pytest.mark.parametrize("output_size", [1, 2, 3, 6, (2, 5), (None, 3), (4, None)])
@pytest.mark.parametrize("size", [(1, 1), (2, 7), (6, 6), (13, 5), (17, 31)])
def test_pooling_by_products_equals_torch_at_any_size(size, output_size):
    x = torch.randn(2, 3, *size)

    pooled = pool_by_products(x, output_size)

    torch.testing.assert_close(pooled, F.adaptive_avg_pool2d(x, output_size), atol=1e-6, rtol=0)


def test_boxes_around_masks_are_mmdets():
    masks = torch.rand(50, 9, 13) > 0.95
    masks[:3] = False
    masks[3] = True

    assert torch.equal(bounds(masks), mask2bbox(masks))


def test_masks_of_rtmdet_equal_its_grouped_convolutions():
    with DefaultScope.overwrite_default_scope("mmdet"):
        head = RTMDetInsSepBNHead(
            3, 8, stacked_convs=1, feat_channels=8,
            anchor_generator=dict(type="MlvlPointGenerator", offset=0, strides=[8, 16]),
            bbox_coder=dict(type="DistancePointBBoxCoder"),
        ).eval()  # fmt: skip
    features, kernels = torch.randn(8, 5, 7), torch.randn(4, head.num_gen_params)
    priors = torch.tensor([[8.0, 16, 8, 8], [0, 0, 16, 16], [40, 8, 8, 8], [3, 5, 32, 32]])

    masks = dynamic_masks(head, features, kernels, priors)

    wanted = head._mask_predict_by_feat_single(features, kernels, priors)
    assert masks.shape == (4, 5, 7)
    torch.testing.assert_close(masks, wanted, atol=1e-4, rtol=1e-5)
