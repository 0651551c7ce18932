_base_ = "./rtdetrv2_convnext_t_coco.py"

# None published.
model = dict(
    backbone=dict(
        init_cfg=dict(
            checkpoint="https://dl.fbaipublicfiles.com/convnext/convnext_tiny_22k_1k_384.pth",
        ),
    ),
)
