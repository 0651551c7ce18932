_base_ = ["./cascade_convnext_t_coco.py", "../_base_/backbones/resnet50.py"]

model = dict(
    backbone=dict(_delete_=True, **_base_.resnet50),
    neck=dict(in_channels=[256, 512, 1024, 2048]),
)
# AdamW, not mmdet's SGD: the papers compare ResNets trained by the settings of Swin, multi-scale 3x
# schedule included, with nothing but the backbone changed (arXiv 2103.14030, section 4.2).
optim_wrapper = dict(
    optimizer=dict(lr=1e-4), constructor="DefaultOptimWrapperConstructor", paramwise_cfg=None
)
