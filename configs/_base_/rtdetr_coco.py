# lyuwenyu/RT-DETR, rtdetrv2_pytorch/configs/rtdetrv2/include: 4 GPUs x 4 images, 72 epochs.
_base_ = ["mmdet::_base_/datasets/coco_detection.py", "./runtime_det.py"]

plain = [
    dict(type="FilterAnnotations", min_gt_bbox_wh=(1, 1), keep_empty=False),
    dict(type="RandomFlip", prob=0.5),
    dict(type="Resize", scale=(640, 640), keep_ratio=False),
    dict(type="FilterAnnotations", min_gt_bbox_wh=(1, 1), keep_empty=False),
    dict(type="PackDetInputs"),
]
loading = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations", with_bbox=True)]
train_pipeline = [
    *loading,
    dict(type="PhotoMetricDistortion"),
    dict(
        type="Expand",
        mean=[123.675, 116.28, 103.53],
        to_rgb=True,
        ratio_range=(1, 4),
        prob=0.5,
    ),
    dict(type="RandomApply", transforms=[dict(type="MinIoURandomCrop")], prob=0.8),
    *plain,
]
last_pipeline = [*loading, *plain]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(640, 640), keep_ratio=False),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    batch_sampler=None,
    dataset=dict(filter_cfg=dict(_delete_=True, filter_empty_gt=False), pipeline=train_pipeline),
)
val_dataloader = test_dataloader = dict(num_workers=4, dataset=dict(pipeline=test_pipeline))

optim_wrapper = dict(
    type="AmpOptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=1e-4),
    # The heads tie parameters of their layers.
    paramwise_cfg=dict(
        custom_keys=dict(backbone=dict(lr_mult=0.1)), norm_decay_mult=0.0, bypass_duplicate=True
    ),
    clip_grad=dict(max_norm=0.1, norm_type=2),
)
auto_scale_lr = dict(enable=False, base_batch_size=16)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=72, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
# The rate stays as it is after the warm-up.
param_scheduler = [dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=2000)]
custom_hooks = [
    # A decay of 0.9999 * (1 - exp(-step / 2000)).
    dict(
        type="EMAHook",
        ema_type="ExpMomentumEMA",
        momentum=1e-4,
        gamma=2000,
        update_buffers=True,
        priority=49,
    ),
    dict(type="StopAugmentingHook", switch_epoch=71, switch_pipeline=last_pipeline),
]
