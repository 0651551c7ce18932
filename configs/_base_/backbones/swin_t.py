# Swin-T for detectors, which is what mmdet's class builds by default, and what a Swin spares from
# weight decay in detectors and segmenters alike (mmdet::swin, mmseg::swin; arXiv 2103.14030).
swin_t = dict(
    type="SwinTransformer",
    drop_path_rate=0.2,
    convert_weights=True,
    init_cfg=dict(
        type="Pretrained",
        checkpoint="https://github.com/SwinTransformer/storage/releases/download/v1.0.0/"
        "swin_tiny_patch4_window7_224.pth",
    ),
)
swin_no_decay = dict(
    absolute_pos_embed=dict(decay_mult=0.0),
    relative_position_bias_table=dict(decay_mult=0.0),
    norm=dict(decay_mult=0.0),
)
