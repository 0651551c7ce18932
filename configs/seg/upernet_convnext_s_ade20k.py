_base_ = "./upernet_convnext_t_ade20k.py"

model = dict(
    backbone=dict(
        arch="small",
        drop_path_rate=0.3,
        init_cfg=dict(
            type="Pretrained",
            checkpoint="https://dl.fbaipublicfiles.com/convnext/convnext_small_1k_224.pth",
        ),
    ),
)
