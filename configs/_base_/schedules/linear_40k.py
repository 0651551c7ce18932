# dinov3/eval/segmentation/configs/config-ade20k-linear-training.yaml: 8 GPUs x 2 images, float32.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.999), weight_decay=1e-3),
    clip_grad=None,
)
auto_scale_lr = dict(enable=False, base_batch_size=16)
train_cfg = dict(type="IterBasedTrainLoop", max_iters=40000, val_interval=5000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
# Both begin at 0: the warm-up multiplies a rate that falls from the first iteration.
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type="CosineAnnealingLR", eta_min=0.0, by_epoch=False, begin=0, end=40000, T_max=40000),
]
