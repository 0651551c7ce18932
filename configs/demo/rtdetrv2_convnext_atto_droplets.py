# RT-DETRv2 made small enough to learn from scratch on two cores in a few minutes.
_base_ = [
    "../_base_/models/rtdetrv2_convnext.py",
    "mmdet::_base_/datasets/coco_detection.py",
    "../_base_/runtime_det.py",
]

model = dict(
    data_preprocessor=dict(pad_size_divisor=1, batch_augments=None),
    backbone=dict(arch="atto"),
    head=dict(num_queries=100, decoder_layers=3),
)
resize = dict(type="Resize", scale=(320, 320), keep_ratio=False)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    resize,
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    resize,
    dict(type="LoadAnnotations", with_bbox=True),
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=22, val_interval=11)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=4e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(
        type="CosineAnnealingLR", eta_min=4e-5, by_epoch=True, T_max=22, convert_to_iter_based=True
    ),
]
default_hooks = dict(logger=dict(interval=10))
