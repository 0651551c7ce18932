_base_ = "./mask2former_convnext_b_ade20k.py"

# None published.
model = dict(
    backbone=dict(
        arch="large",
        init_cfg=dict(
            checkpoint="https://dl.fbaipublicfiles.com/convnext/convnext_large_1k_224_ema.pth",
        ),
    ),
    decode_head=dict(in_channels=[192, 384, 768, 1536]),
)
