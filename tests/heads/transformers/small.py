"""Small detectors and batches for the tests beside it."""

from __future__ import annotations

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from convnext_dense.heads.transformers.detector import TransformersDetector

SMALL = dict(d_model=32, encoder_ffn_dim=32, decoder_ffn_dim=32, decoder_layers=2)
RT_DETR = dict(SMALL, encoder_hidden_dim=32, num_denoising=12)
# Each head, and each way of one that computes otherwise.
KINDS = {
    "rt_detr_v2": dict(RT_DETR, type="rt_detr_v2"),
    "rt_detr": dict(RT_DETR, type="rt_detr"),
    "d_fine": dict(RT_DETR, type="d_fine", lqe_hidden_dim=16),
    "deformable_detr": dict(SMALL, type="deformable_detr", encoder_layers=1, dropout=0.0),
    "deformable_detr, two stages": dict(
        SMALL,
        type="deformable_detr",
        encoder_layers=1,
        dropout=0.0,
        auxiliary_loss=True,
        with_box_refine=True,
        two_stage=True,
        two_stage_num_proposals=20,
    ),
}
CLASSES = 3


def detector(kind: str, **head: object) -> TransformersDetector:
    """Build a detector with 20 queries over the smallest ConvNeXt, the same each time."""
    torch.manual_seed(0)
    return MODELS.build(
        dict(
            type="TransformersDetector",
            backbone=dict(
                type="ConvNeXt",
                arch=dict(depths=(1, 1, 1, 1), channels=(8, 16, 24, 32)),
                out_indices=(1, 2, 3),
            ),
            head=dict(dict(KINDS[kind], num_queries=20, num_classes=CLASSES), **head),
        )
    )


def batch(
    *numbers: int, size: tuple[int, int] = (96, 64), padded: int = 0, seed: int = 0
) -> tuple[torch.Tensor, list[DetDataSample]]:
    """Make images and samples with so many boxes each; all but the first padded by some pixels."""
    random = torch.Generator().manual_seed(seed)
    images = torch.randn(len(numbers), 3, *size, generator=random)
    samples = []
    for index, number in enumerate(numbers):
        height, width = (side - padded * (index > 0) for side in size)
        images[index, :, height:] = images[index, :, :, width:] = 0
        corners = torch.rand(number, 2, 2, generator=random).sort(1).values
        sample = DetDataSample(
            metainfo=dict(
                img_shape=(height, width),
                ori_shape=(height * 2, width * 2),
                scale_factor=(0.5, 0.5),
                batch_input_shape=size,
            )
        )
        sample.gt_instances = InstanceData(
            bboxes=corners.flatten(1) * torch.tensor([width, height, width, height]),
            labels=torch.randint(CLASSES, (number,), generator=random),
        )
        samples.append(sample)
    return images, samples
