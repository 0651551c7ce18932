_base_ = "mmdet::_base_/models/mask-rcnn_r50_fpn.py"

custom_imports = dict(imports=["convnext_dense"], allow_failed_imports=False)

model = dict(
    backbone=dict(_delete_=True, type="ConvNeXt", arch="tiny"),
    neck=dict(in_channels=[96, 192, 384, 768]),
)
