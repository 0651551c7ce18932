# What the recipes of ConvNeXt's papers share: each names its learning rate, decay and precision.
optim_wrapper = dict(
    type="AmpOptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    constructor="ConvNeXtOptimWrapperConstructor",
    clip_grad=None,
)
auto_scale_lr = dict(enable=False, base_batch_size=16)  # 8 GPUs x 2 images
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
