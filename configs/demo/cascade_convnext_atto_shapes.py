# The Cascade recipe made small enough to learn from scratch on two cores in a few minutes.
_base_ = "../det/cascade_convnext_t_coco.py"

channels = 64
model = dict(
    backbone=dict(arch="atto", drop_path_rate=0.0, init_cfg=None),
    neck=dict(in_channels=[40, 80, 160, 320], out_channels=channels),
    rpn_head=dict(in_channels=channels, feat_channels=channels),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=channels),
        bbox_head=[
            dict(
                type="Shared4Conv1FCBBoxHead",
                in_channels=channels,
                conv_out_channels=channels,
                fc_out_channels=256,
                norm_cfg=dict(type="BN"),
                reg_class_agnostic=True,
                bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_stds=[xy, xy, wh, wh]),
            )
            for xy, wh in ((0.1, 0.2), (0.05, 0.1), (0.033, 0.067))
        ],
        mask_roi_extractor=dict(out_channels=channels),
        mask_head=dict(in_channels=channels, conv_out_channels=channels),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=500, max_per_img=200),
        rcnn=[
            dict(
                assigner=dict(
                    type="MaxIoUAssigner",
                    pos_iou_thr=iou,
                    neg_iou_thr=iou,
                    min_pos_iou=iou,
                    match_low_quality=False,
                ),
                sampler=dict(type="RandomSampler", num=64, pos_fraction=0.25),
                mask_size=28,
                pos_weight=-1,
                debug=False,
            )
            for iou in (0.5, 0.6, 0.7)
        ],
    ),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=200)),
)
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=dict(decay_rate=1.0))
train_cfg = dict(max_epochs=4, val_interval=4)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type="CosineAnnealingLR", eta_min=1e-5, by_epoch=True, T_max=4, convert_to_iter_based=True
    ),
]
default_hooks = dict(logger=dict(interval=10))
