_base_ = "./linear_dinov3_convnext_t_ade20k.py"

model = dict(
    backbone=dict(
        arch="base",
        init_cfg=dict(checkpoint="timm/convnext_base.dinov3_lvd1689m"),
    ),
    decode_head=dict(in_channels=1024),
)
