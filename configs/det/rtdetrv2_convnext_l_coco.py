_base_ = "./rtdetrv2_convnext_t_coco.py"

# None published.
model = dict(
    backbone=dict(
        arch="large",
        init_cfg=dict(checkpoint="timm/convnext_large.dinov3_lvd1689m"),
    ),
)
