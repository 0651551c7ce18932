_base_ = "./upernet_convnext_b_in22k_ade20k.py"

model = dict(
    backbone=dict(
        arch="xlarge",
        drop_path_rate=0.4,
        init_cfg=dict(
            type="Pretrained",
            checkpoint="https://dl.fbaipublicfiles.com/convnext/convnext_xlarge_22k_224.pth",
        ),
    ),
    decode_head=dict(in_channels=[256, 512, 1024, 2048]),
    auxiliary_head=dict(in_channels=1024),
)
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(lr=8e-5))
