_base_ = ["./cascade_convnext_t_coco.py", "../_base_/backbones/swin_t.py"]

model = dict(backbone=dict(_delete_=True, **_base_.swin_t))
# AdamW with weight decay 0.05, as the recipe has it.
optim_wrapper = dict(
    optimizer=dict(lr=1e-4),
    constructor="DefaultOptimWrapperConstructor",
    paramwise_cfg=dict(_delete_=True, custom_keys=_base_.swin_no_decay),
)
