_base_ = "./cascade_convnext_t_coco.py"

model = dict(
    backbone=dict(
        arch="large",
        drop_path_rate=0.7,
        init_cfg=dict(
            type="Pretrained",
            checkpoint="https://dl.fbaipublicfiles.com/convnext/convnext_large_22k_224.pth",
        ),
    ),
    neck=dict(in_channels=[192, 384, 768, 1536]),
)
optim_wrapper = dict(
    type="OptimWrapper", optimizer=dict(lr=1e-4), paramwise_cfg=dict(decay_rate=0.7)
)
