_base_ = ["./upernet_convnext_b_ade20k.py", "../_base_/convnext_v2_ade20k.py"]

model = dict(
    backbone=dict(
        arch="v2_base",
        drop_path_rate=_base_.v2_drop_path,
        init_cfg=dict(
            checkpoint="https://dl.fbaipublicfiles.com/convnext/convnextv2/im1k/"
            "convnextv2_base_1k_224_ema.pt",
        ),
    ),
)
optim_wrapper = dict(optimizer=_base_.v2_optimizer, paramwise_cfg=_base_.v2_decay)
tta_pipeline = _base_.tta_pipeline
tta_pipeline[1]["transforms"][0] = _base_.v2_scales
