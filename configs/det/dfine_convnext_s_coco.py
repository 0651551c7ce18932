_base_ = "./dfine_convnext_t_coco.py"

# None published.
model = dict(
    backbone=dict(
        arch="small",
        init_cfg=dict(checkpoint="timm/convnext_small.dinov3_lvd1689m"),
    ),
)
