_base_ = "./linear_dinov3_convnext_t_ade20k.py"

model = dict(
    backbone=dict(
        arch="large",
        init_cfg=dict(checkpoint="timm/convnext_large.dinov3_lvd1689m"),
    ),
    decode_head=dict(in_channels=1536),
)
