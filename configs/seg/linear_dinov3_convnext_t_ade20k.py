_base_ = [
    "../_base_/models/linear_convnext.py",
    "../_base_/datasets/ade20k_512.py",
    "../_base_/runtime_seg.py",
    "../_base_/schedules/linear_40k.py",
]

model = dict(
    backbone=dict(init_cfg=dict(checkpoint="timm/convnext_tiny.dinov3_lvd1689m")),
)
default_hooks = dict(checkpoint=dict(interval=5000))
