_base_ = "./upernet_convnext_b_ade20k.py"

# None published. All else is as from ImageNet-1K.
model = dict(
    backbone=dict(init_cfg=dict(checkpoint="timm/convnext_base.dinov3_lvd1689m")),
)
