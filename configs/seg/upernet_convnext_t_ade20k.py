_base_ = [
    "../_base_/models/upernet_convnext.py",
    "../_base_/datasets/ade20k_512.py",
    "../_base_/schedules/schedule_160k.py",
    "../_base_/runtime_seg.py",
]

model = dict(
    backbone=dict(
        arch="tiny",
        drop_path_rate=0.4,
        init_cfg=dict(
            type="Pretrained",
            checkpoint="https://dl.fbaipublicfiles.com/convnext/convnext_tiny_1k_224.pth",
        ),
    ),
)
