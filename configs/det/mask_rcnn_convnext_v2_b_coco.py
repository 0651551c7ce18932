_base_ = [
    "../_base_/models/mask_rcnn_convnext.py",
    "../_base_/datasets/coco_instance_lsj.py",
    "../_base_/schedules/schedule_3x.py",
    "../_base_/runtime_det.py",
]

# Drop path and decay are the middle of what the authors searched, 0.2 to 0.5 and 0.9 to 0.95: they
# do not say which they took.
model = dict(
    backbone=dict(
        arch="v2_base",
        drop_path_rate=0.35,
        init_cfg=dict(
            type="Pretrained",
            checkpoint="https://dl.fbaipublicfiles.com/convnext/convnextv2/im1k/"
            "convnextv2_base_1k_224_ema.pt",
        ),
    ),
    neck=dict(in_channels=[128, 256, 512, 1024]),
    test_cfg=dict(rcnn=dict(nms=dict(type="soft_nms"))),
)
optim_wrapper = dict(optimizer=dict(lr=1e-4), paramwise_cfg=dict(decay_rate=0.925))
auto_scale_lr = dict(base_batch_size=32)  # 8 GPUs x 4 images
