_base_ = ["../_base_/rtdetr_coco.py", "../_base_/models/rtdetrv2_convnext.py"]

# None published. As RT-DETRv2 with its ResNet-50: its head, schedule and augmentation.
model = dict(
    backbone=dict(
        arch="tiny",
        init_cfg=dict(type="Pretrained", checkpoint="timm/convnext_tiny.dinov3_lvd1689m"),
    ),
)
