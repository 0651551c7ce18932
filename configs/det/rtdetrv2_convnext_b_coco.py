_base_ = "./rtdetrv2_convnext_t_coco.py"

# None published.
model = dict(
    backbone=dict(
        arch="base",
        init_cfg=dict(checkpoint="timm/convnext_base.dinov3_lvd1689m"),
    ),
)
