_base_ = "mmseg::mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py"

custom_imports = dict(imports=["convnext_dense"], allow_failed_imports=False)

# None published. As mmseg has Swin-T: its drop path, a tenth of the rate for the backbone.
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
    decode_head=dict(in_channels=[96, 192, 384, 768]),
)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=2))
