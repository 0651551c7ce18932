_base_ = "./dino_dinov3_convnext_l_coco.py"

# None published.
model = dict(
    backbone=dict(frozen_stages=4, init_cfg=dict(final_norm="use")),
)
