_base_ = "./upernet_convnext_t_ade20k.py"

model = dict(
    backbone=dict(
        _delete_=True,
        type="ResNetV1c",
        depth=50,
        norm_cfg=dict(type="SyncBN", requires_grad=True),
        init_cfg=dict(type="Pretrained", checkpoint="open-mmlab://resnet50_v1c"),
    ),
    decode_head=dict(in_channels=[256, 512, 1024, 2048]),
    auxiliary_head=dict(in_channels=1024),
)
# SGD, as mmseg trains the ResNets that the papers quote for UperNet (mmseg::upernet).
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type="SGD", lr=0.01, momentum=0.9, weight_decay=0.0005),
    constructor="DefaultOptimWrapperConstructor",
    paramwise_cfg=None,
)
