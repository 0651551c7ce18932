_base_ = "./cascade_convnext_t_coco.py"

model = dict(
    backbone=dict(
        arch="base",
        drop_path_rate=0.7,
        init_cfg=dict(
            type="Pretrained",
            checkpoint="https://dl.fbaipublicfiles.com/convnext/convnext_base_1k_224.pth",
        ),
    ),
    neck=dict(in_channels=[128, 256, 512, 1024]),
)
optim_wrapper = dict(optimizer=dict(lr=2e-4), paramwise_cfg=dict(decay_rate=0.8))
