_base_ = "./dino_convnext_l_coco.py"

model = dict(
    backbone=dict(
        init_cfg=dict(
            checkpoint="https://dl.fbaipublicfiles.com/convnext/convnext_large_22k_1k_384.pth",
        ),
    ),
)
