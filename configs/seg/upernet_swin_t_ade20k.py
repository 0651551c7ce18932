_base_ = ["./upernet_convnext_t_ade20k.py", "../_base_/backbones/swin_t.py"]

model = dict(
    backbone=dict(
        _delete_=True,
        type="SwinTransformer",
        drop_path_rate=0.3,
        init_cfg=dict(
            type="Pretrained",
            checkpoint="https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/swin/"
            "swin_tiny_patch4_window7_224_20220317-1cdeb081.pth",
        ),
    ),
)
# As in the paper (arXiv 2103.14030, appendix A2.3) and in mmseg::swin. The drop path is that of the
# latter; the paper says 0.2.
optim_wrapper = dict(
    optimizer=dict(lr=6e-5, weight_decay=0.01),
    constructor="DefaultOptimWrapperConstructor",
    paramwise_cfg=dict(_delete_=True, custom_keys=_base_.swin_no_decay),
)
