_base_ = ["./upernet_convnext_l_in22k_ade20k.py", "../_base_/convnext_v2_ade20k.py"]

model = dict(
    backbone=dict(
        arch="v2_huge",
        drop_path_rate=_base_.v2_drop_path,
        init_cfg=dict(
            checkpoint="https://dl.fbaipublicfiles.com/convnext/convnextv2/im22k/"
            "convnextv2_huge_22k_384_ema.pt",
        ),
    ),
    decode_head=dict(in_channels=[352, 704, 1408, 2816]),
    auxiliary_head=dict(in_channels=1408),
)
optim_wrapper = dict(optimizer=_base_.v2_optimizer, paramwise_cfg=_base_.v2_decay)
tta_pipeline = _base_.tta_pipeline
tta_pipeline[1]["transforms"][0] = _base_.v2_scales
