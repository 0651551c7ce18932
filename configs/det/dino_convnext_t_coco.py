_base_ = "mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py"

custom_imports = dict(imports=["convnext_dense"], allow_failed_imports=False)

# As detrex, whose figures these are; what it does not set is as in mmdet.
model = dict(
    backbone=dict(
        _delete_=True,
        type="ConvNeXt",
        arch="tiny",
        out_indices=(1, 2, 3),
        init_cfg=dict(
            type="Pretrained",
            checkpoint="https://dl.fbaipublicfiles.com/convnext/convnext_tiny_1k_224.pth",
        ),
    ),
    neck=dict(in_channels=[192, 384, 768]),
    positional_encoding=dict(temperature=10000, offset=-0.5),
    dn_cfg=dict(label_noise_scale=0.2),
)
optim_wrapper = dict(paramwise_cfg=dict(norm_decay_mult=0.0))
default_hooks = dict(checkpoint=dict(max_keep_ckpts=2, save_best="coco/bbox_mAP"))
