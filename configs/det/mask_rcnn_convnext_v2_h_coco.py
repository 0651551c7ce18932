_base_ = "./mask_rcnn_convnext_v2_b_coco.py"

model = dict(
    backbone=dict(
        arch="v2_huge",
        init_cfg=dict(
            checkpoint="https://dl.fbaipublicfiles.com/convnext/convnextv2/im1k/"
            "convnextv2_huge_1k_224_ema.pt",
        ),
    ),
    neck=dict(in_channels=[352, 704, 1408, 2816]),
)
optim_wrapper = dict(type="OptimWrapper")
