_base_ = "./upernet_dinov3_convnext_t_ade20k.py"

# None published.
model = dict(
    backbone=dict(frozen_stages=4, drop_path_rate=0.0, init_cfg=dict(final_norm="use")),
)
