_base_ = "./rtdetrv2_convnext_l_coco.py"

# None published.
model = dict(
    backbone=dict(
        init_cfg=dict(
            checkpoint="https://dl.fbaipublicfiles.com/convnext/convnext_large_22k_1k_384.pth",
        ),
    ),
)
