_base_ = "mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py"

custom_imports = dict(imports=["convnext_dense"], allow_failed_imports=False)

# None published. As mmdet has Swin-T: its drop path, a tenth of the rate for the backbone.
model = dict(
    backbone=dict(
        _delete_=True,
        type="ConvNeXt",
        arch="tiny",
        drop_path_rate=0.3,
        init_cfg=dict(
            type="Pretrained",
            checkpoint="https://dl.fbaipublicfiles.com/convnext/convnext_tiny_1k_224.pth",
        ),
    ),
    panoptic_head=dict(in_channels=[96, 192, 384, 768]),
)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=2, save_best="coco/segm_mAP"))
