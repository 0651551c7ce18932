_base_ = "./dino_convnext_l_coco.py"

# None published. All else is as from ImageNet-1K.
model = dict(
    backbone=dict(init_cfg=dict(checkpoint="timm/convnext_large.dinov3_lvd1689m")),
)
