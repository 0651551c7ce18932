_base_ = "./dino_convnext_t_coco.py"

model = dict(
    backbone=dict(
        arch="large",
        init_cfg=dict(
            checkpoint="https://dl.fbaipublicfiles.com/convnext/convnext_large_1k_224_ema.pth",
        ),
    ),
    neck=dict(in_channels=[384, 768, 1536]),
)
