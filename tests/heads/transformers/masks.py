"""Small models with heads of masks, and batches for the tests beside it."""

from __future__ import annotations

import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn

MASK2FORMER = dict(
    type="mask2former",
    num_queries=10,
    hidden_dim=32,
    feature_size=32,
    mask_feature_size=32,
    encoder_layers=1,
    decoder_layers=3,
    dim_feedforward=32,
    encoder_feedforward_dim=32,
    num_attention_heads=4,
    train_num_points=64,
)
SEGMENTERS = {
    "mask2former": MASK2FORMER,
    "upernet": dict(type="upernet", hidden_size=16, auxiliary_channels=8),
}
CLASSES, IGNORED = 4, 255
BACKBONE = dict(type="ConvNeXt", arch=dict(depths=(1, 1, 1, 1), channels=(8, 16, 24, 32)))


def model(owner: str, head: dict, grn: bool = False, **options: object) -> nn.Module:
    """Build a model with random weights under which classes and masks differ."""
    torch.manual_seed(0)
    backbone = dict(BACKBONE, arch=dict(BACKBONE["arch"], grn=grn))
    head = dict(head, num_classes=CLASSES)
    built = MODELS.build(dict(type=owner, backbone=backbone, head=head, **options))
    with torch.no_grad():
        for parameter in built.parameters():
            if parameter.ndim > 1:
                parameter.add_(torch.randn_like(parameter) * parameter[0].numel() ** -0.5)
    return built.eval()


def segmenter(kind: str, **options: object) -> nn.Module:
    return model("TransformersSegmentor", SEGMENTERS[kind], **options)


def label_maps(size: tuple[int, int], padded: int = 0) -> tuple[torch.Tensor, list[SegDataSample]]:
    """Make two images and label maps; the second lacks a class, and has ignored pixels."""
    random = torch.Generator().manual_seed(1)
    images = torch.randn(2, 3, *size, generator=random)
    labels = torch.randint(CLASSES, (2, *size), generator=random)
    labels[1][labels[1] == 2] = IGNORED
    if padded:
        labels[1, -padded:] = labels[1, :, -padded:] = IGNORED
        images[1, :, -padded:] = images[1, :, :, -padded:] = 0
    return images, [SegDataSample(gt_sem_seg=PixelData(data=one[None])) for one in labels]


def instances(*numbers: int, size: tuple[int, int] = (64, 96), padded: int = 0) -> tuple:
    """Make images with so many instances each; all but the first padded by some pixels."""
    from mmdet.structures.mask import BitmapMasks  # needs mmcv's operators, and so our import

    random = torch.Generator().manual_seed(2)
    images, samples = torch.randn(len(numbers), 3, *size, generator=random), []
    for index, number in enumerate(numbers):
        height, width = (side - padded * (index > 0) for side in size)
        masks = torch.randn(number, height, width, generator=random) > 0
        truth = InstanceData(
            labels=torch.randint(CLASSES, (number,), generator=random),
            bboxes=torch.zeros(number, 4),
            masks=BitmapMasks(masks.numpy().astype("uint8"), height, width),
        )
        meta = dict(img_shape=(height, width), ori_shape=(2 * height, 2 * width))
        samples.append(DetDataSample(gt_instances=truth, metainfo=meta))
    return images, samples
