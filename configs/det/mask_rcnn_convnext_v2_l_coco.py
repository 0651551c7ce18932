_base_ = "./mask_rcnn_convnext_v2_b_coco.py"

model = dict(
    backbone=dict(
        arch="v2_large",
        init_cfg=dict(
            checkpoint="https://dl.fbaipublicfiles.com/convnext/convnextv2/im1k/"
            "convnextv2_large_1k_224_ema.pt",
        ),
    ),
    neck=dict(in_channels=[192, 384, 768, 1536]),
)
optim_wrapper = dict(type="OptimWrapper")
