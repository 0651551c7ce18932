_base_ = "./linear_dinov3_convnext_t_ade20k.py"

model = dict(
    backbone=dict(
        arch="small",
        init_cfg=dict(checkpoint="timm/convnext_small.dinov3_lvd1689m"),
    ),
)
