_base_ = "./rtdetrv2_convnext_t_coco.py"

# None published. As Peterande/D-FINE, configs/dfine/dfine_hgnetv2_l_coco.yml, for 32 images.
model = dict(
    head=dict(type="d_fine", decoder_n_points=[3, 6, 3]),
)
train_dataloader = dict(batch_size=8)
auto_scale_lr = dict(base_batch_size=32)
optim_wrapper = dict(
    optimizer=dict(lr=2.5e-4, weight_decay=1.25e-4),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.05))),
)
train_cfg = dict(max_epochs=80)
param_scheduler = [dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=500)]
custom_hooks = [
    dict(_base_.custom_hooks[0], gamma=1000),
    dict(_base_.custom_hooks[1], switch_epoch=72),
]
