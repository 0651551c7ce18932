_base_ = "./mask_rcnn_convnext_t_coco.py"

# None published. All else is as from ImageNet-1K.
model = dict(
    backbone=dict(init_cfg=dict(checkpoint="timm/convnext_tiny.dinov3_lvd1689m")),
)
