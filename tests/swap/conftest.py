"""A detector and a segmenter of a few channels, as configs."""

from __future__ import annotations

import copy

import pytest
from mmengine.config import Config

TINY = dict(type="ConvNeXt", arch=dict(depths=(1, 1, 1, 1), channels=(8, 16, 24, 32)))
SGD = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.02))


@pytest.fixture
def detector() -> Config:
    """RetinaNet on all levels of the backbone."""
    loss_cls = dict(type="FocalLoss", use_sigmoid=True, loss_weight=1.0)
    anchors = dict(
        type="AnchorGenerator", scales=[4], ratios=[1.0], strides=[4, 8, 16, 32], base_sizes=[8] * 4
    )
    coder = dict(type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=[1.0] * 4)
    head = dict(
        type="RetinaHead",
        num_classes=3,
        in_channels=8,
        stacked_convs=1,
        feat_channels=8,
        anchor_generator=anchors,
        bbox_coder=coder,
        loss_cls=loss_cls,
        loss_bbox=dict(type="L1Loss", loss_weight=1.0),
    )
    assigner = dict(type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0)
    model = dict(
        type="RetinaNet",
        data_preprocessor=dict(type="DetDataPreprocessor", pad_size_divisor=32),
        backbone=copy.deepcopy(TINY),
        neck=dict(type="FPN", in_channels=[8, 16, 24, 32], out_channels=8, num_outs=4),
        bbox_head=head,
        train_cfg=dict(assigner=assigner, allowed_border=-1, pos_weight=-1, debug=False),
        test_cfg=dict(
            nms_pre=100,
            min_bbox_size=0,
            score_thr=0.0,
            nms=dict(type="nms", iou_threshold=0.5),
            max_per_img=10,
        ),
    )
    return Config(dict(default_scope="mmdet", model=model, optim_wrapper=copy.deepcopy(SGD)))


@pytest.fixture
def segmenter() -> Config:
    """FCN on the coarsest level of the backbone."""
    head = dict(
        type="FCNHead",
        in_channels=32,
        in_index=-1,
        channels=8,
        num_convs=1,
        num_classes=5,
        norm_cfg=dict(type="SyncBN"),
        loss_decode=dict(type="CrossEntropyLoss", loss_weight=1.0),
    )
    model = dict(
        type="EncoderDecoder",
        data_preprocessor=dict(type="SegDataPreProcessor", size=(512, 512)),
        backbone=dict(copy.deepcopy(TINY), out_indices=(3,)),
        decode_head=head,
        train_cfg=dict(),
        test_cfg=dict(mode="whole"),
    )
    return Config(dict(default_scope="mmseg", model=model, optim_wrapper=copy.deepcopy(SGD)))
