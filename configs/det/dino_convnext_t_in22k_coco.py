_base_ = "./dino_convnext_t_coco.py"

model = dict(
    backbone=dict(
        init_cfg=dict(
            checkpoint="https://dl.fbaipublicfiles.com/convnext/convnext_tiny_22k_1k_384.pth",
        ),
    ),
)
