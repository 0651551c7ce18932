_base_ = "mmdet::rtmdet/rtmdet_l_convnext_b_4xb32-100e_coco.py"

# mmdet's own recipe, with this package's ConvNeXt instead of mmpretrain's.
custom_imports = dict(imports=["convnext_dense"], allow_failed_imports=False)
model = dict(
    backbone=dict(
        _delete_=True,
        type="ConvNeXt",
        arch="base",
        out_indices=(1, 2, 3),
        drop_path_rate=0.7,
        with_cp=True,
        init_cfg=dict(
            type="Pretrained",
            checkpoint="https://dl.fbaipublicfiles.com/convnext/convnext_base_22k_1k_384.pth",
        ),
    ),
)
optim_wrapper = dict(
    constructor="ConvNeXtOptimWrapperConstructor",
    paramwise_cfg=dict(_delete_=True, decay_rate=0.8, decay_type="layer_wise"),
)
train_dataloader = val_dataloader = test_dataloader = dict(num_workers=4)
auto_scale_lr = dict(base_batch_size=128)  # 4 GPUs x 32 images
default_hooks = dict(checkpoint=dict(save_best="coco/bbox_mAP"))
