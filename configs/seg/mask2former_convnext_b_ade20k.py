_base_ = "mmseg::mask2former/mask2former_swin-b-in1k-384x384-pre_8xb2-160k_ade20k-640x640.py"

custom_imports = dict(imports=["convnext_dense"], allow_failed_imports=False)

# None published. As mmseg has Swin-B: its crop of 640, its drop path, a tenth of the rate for the
# backbone.
model = dict(
    backbone=dict(
        _delete_=True,
        type="ConvNeXt",
        arch="base",
        drop_path_rate=0.3,
        init_cfg=dict(
            type="Pretrained",
            checkpoint="https://dl.fbaipublicfiles.com/convnext/convnext_base_1k_224.pth",
        ),
    ),
)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=2))
