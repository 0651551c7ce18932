_base_ = "./dino_convnext_t_coco.py"

model = dict(
    backbone=dict(
        arch="base",
        init_cfg=dict(
            checkpoint="https://dl.fbaipublicfiles.com/convnext/convnext_base_1k_224.pth",
        ),
    ),
    neck=dict(in_channels=[256, 512, 1024]),
)
