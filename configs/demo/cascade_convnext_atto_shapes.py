# The Cascade recipe made small enough to learn from scratch on two cores in a few minutes.
_base_ = "../det/cascade_convnext_t_coco.py"

classes = ("circle", "square", "triangle", "star", "ring")
model = dict(
    backbone=dict(arch="atto", drop_path_rate=0.0, init_cfg=None),
    neck=dict(in_channels=[40, 80, 160, 320], out_channels=64),
)
