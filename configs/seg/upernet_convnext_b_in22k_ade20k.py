_base_ = [
    "../_base_/models/upernet_convnext.py",
    "../_base_/datasets/ade20k_640.py",
    "../_base_/schedules/schedule_160k.py",
    "../_base_/runtime_seg.py",
]

model = dict(
    data_preprocessor=dict(size=(640, 640)),
    backbone=dict(
        arch="base",
        drop_path_rate=0.4,
        init_cfg=dict(
            type="Pretrained",
            checkpoint="https://dl.fbaipublicfiles.com/convnext/convnext_base_22k_224.pth",
        ),
    ),
    decode_head=dict(in_channels=[128, 256, 512, 1024]),
    auxiliary_head=dict(in_channels=512),
    test_cfg=dict(crop_size=(640, 640), stride=(426, 426)),
)
