_base_ = "./dino_convnext_t_coco.py"

model = dict(
    backbone=dict(
        arch="small",
        init_cfg=dict(
            checkpoint="https://dl.fbaipublicfiles.com/convnext/convnext_small_1k_224.pth",
        ),
    ),
)
