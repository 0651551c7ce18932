_base_ = "./mask2former_convnext_t_coco.py"

# None published.
model = dict(
    backbone=dict(
        arch="base",
        init_cfg=dict(
            checkpoint="https://dl.fbaipublicfiles.com/convnext/convnext_base_1k_224.pth",
        ),
    ),
    panoptic_head=dict(in_channels=[128, 256, 512, 1024]),
)
